//! `EndpointSlice` and `Endpoints`: the addresses behind a Service.

use std::sync::Arc;

use crate::finding::{Finding, codes};
use crate::objects::{Fault, Field, Object};
use crate::snapshot::{Closure, UpstreamPlace};
use crate::world::Key;

/// Addresses of a Service, as one object lists them.
#[derive(Clone, Debug)]
pub(crate) struct ServiceEndpoints {
    /// The Service.
    pub(crate) service: Key,
    /// Groups of addresses with the same ports.
    pub(crate) groups: Vec<Group>,
    /// Set when the object cannot be read.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// A port and its name, if it has one.
type NamedPort = (Option<Arc<str>>, u16);

/// Addresses and the ports that are open on each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    addresses: Vec<Arc<str>>,
    /// Name, as the Service's port has it, and number.
    ports: Vec<NamedPort>,
}

impl ServiceEndpoints {
    /// Reads an `EndpointSlice`; `None` when it belongs to no Service.
    pub(crate) fn of_slice(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Option<Self> {
        let service = object.labels().get("kubernetes.io/service-name").cloned()?;
        Some(Self::read(object, service, findings, |top| {
            let mut addresses = Vec::new();
            for one in top.child_items("endpoints")? {
                let ready = one.child("conditions").and_then(|all| all.child("ready"));
                if ready.map_or(Ok(true), |ready| ready.boolean())? {
                    addresses.extend(one.texts("addresses")?);
                }
            }
            let ports = ports(top)?;
            Ok(vec![Group { addresses, ports }])
        }))
    }

    /// Reads `Endpoints`, which bear the name of their Service.
    pub(crate) fn of_endpoints(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        Self::read(object, Arc::clone(object.name()), findings, |top| {
            let mut groups = Vec::new();
            for subset in top.child_items("subsets")? {
                let mut addresses = Vec::new();
                for one in subset.child_items("addresses")? {
                    addresses.push(one.required("ip")?.text()?.into());
                }
                let ports = ports(&subset)?;
                groups.push(Group { addresses, ports });
            }
            Ok(groups)
        })
    }

    fn read(
        object: &Arc<Object>,
        service: Arc<str>,
        findings: &mut Vec<Finding>,
        groups: impl Fn(&Field<'_>) -> Result<Vec<Group>, Fault>,
    ) -> Self {
        let mut read = Self {
            service: (Arc::clone(object.namespace()), service),
            groups: Vec::new(),
            closed: object.closed.clone(),
        };
        match groups(&object.top()) {
            Ok(groups) => read.groups = groups,
            Err(mut fault) => {
                fault.code = codes::SERVICE_ENTRY;
                read.closed = Some(Arc::new(Closure::of(&fault)));
                findings.push(*fault);
            }
        }
        read
    }

    /// The places of the Service's port of this name.
    pub(crate) fn places<'a>(
        &'a self,
        port: Option<&'a str>,
    ) -> impl Iterator<Item = UpstreamPlace> + 'a {
        let same = move |name: &Option<Arc<str>>| {
            name.as_deref().unwrap_or_default() == port.unwrap_or_default()
        };
        self.groups.iter().flat_map(move |group| {
            let numbers = group.ports.iter().filter(move |(name, _)| same(name));
            numbers.flat_map(|(_, number)| {
                group.addresses.iter().map(|address| UpstreamPlace {
                    host: Arc::clone(address),
                    port: *number,
                    weight: 1,
                })
            })
        })
    }
}

fn ports(field: &Field<'_>) -> Result<Vec<NamedPort>, Fault> {
    let mut ports = Vec::new();
    for one in field.child_items("ports")? {
        ports.push((one.child_text("name")?, one.required("port")?.port()?));
    }
    Ok(ports)
}
