//! Which VirtualServices belong to which `Gateway`: asked once for each of its servers.

use std::collections::HashMap;

use crate::manifest::virtual_service::VirtualService;
use crate::world::Key;

/// VirtualServices by the Gateways that they name, as the gateway's namespace sees them.
pub(super) struct Bindings<'a> {
    by_gateway: HashMap<&'a Key, Vec<(u8, usize)>>,
    /// Those that might have named any.
    everywhere: Vec<(u8, usize)>,
}

impl<'a> Bindings<'a> {
    pub(super) fn of(services: &'a [VirtualService], namespace: &str) -> Self {
        let mut by_gateway: HashMap<&Key, Vec<(u8, usize)>> = HashMap::new();
        let mut everywhere = Vec::new();
        for (index, service) in services.iter().enumerate() {
            let Some(rank) = service.rank_in(namespace) else {
                continue;
            };
            if service.gateways_unreadable {
                everywhere.push((rank, index));
                continue;
            }
            for gateway in &service.gateways {
                let bound = by_gateway.entry(gateway).or_default();
                // One that names a Gateway twice is bound once.
                if bound.last() != Some(&(rank, index)) {
                    bound.push((rank, index));
                }
            }
        }
        Self {
            by_gateway,
            everywhere,
        }
    }

    /// Numbers of the VirtualServices of a Gateway, in the order in which they are tried.
    pub(super) fn at(&self, gateway: &Key) -> Vec<usize> {
        let named = self.by_gateway.get(gateway).into_iter().flatten();
        let mut bound: Vec<(u8, usize)> = named.chain(&self.everywhere).copied().collect();
        bound.sort_unstable();
        bound.into_iter().map(|(_, index)| index).collect()
    }
}
