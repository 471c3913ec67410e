//! Ending sessions: of a request, of a person, all of them.

use http::HeaderMap;
use model::names::Timestamp;
use model::snapshot::Login;

use super::Sessions;
use super::store::{StoreError, Whose};
use super::value::Name;
use crate::flow::logout::Order;
use crate::sessions::CookieValue;

impl Sessions {
    /// Ends every session that the request brought for `login`. From now on nobody has it, here and
    /// after a restart; should the store fail, at least not here.
    pub(crate) async fn end(&self, headers: &HeaderMap, login: &Login) -> Result<(), StoreError> {
        self.disinherit(headers, login);
        if let Some(sealed) = &self.sealed {
            self.end_sealed(sealed, headers, login);
        }
        for value in self.offered(headers, login) {
            let Some(value) = CookieValue::read(value) else {
                continue;
            };
            if self.stamp.is_mine(&value) {
                self.end_by_name(&value.name()).await?;
            }
        }
        Ok(())
    }

    /// Ends one session; says whether there was one.
    pub(crate) async fn end_by_name(&self, name: &Name) -> Result<bool, StoreError> {
        self.forget(name);
        self.store.delete(name, self.now()).await
    }

    /// Ends the sessions of `whose`; says how many.
    pub(crate) async fn end_whose(&self, whose: &Whose) -> Result<usize, StoreError> {
        let names = self.store.delete_by(whose, self.now()).await?;
        // Whoever found one before it was deleted, and remembers it only now, loses the place to
        // put it.
        for name in &names {
            self.forget(name);
        }
        Ok(names.len())
    }

    /// Whether an issuer's order is new; it is remembered as long as it could be sent again.
    pub(crate) fn take_order(&self, order: &Order, now: Timestamp) -> bool {
        let known = self.orders.get(&order.tag());
        if known.is_some_and(|until| until > now) {
            return false;
        }
        self.orders.insert(order.tag(), order.until);
        true
    }

    /// The order was not carried out; it may come again.
    pub(crate) fn give_order_back(&self, order: &Order) {
        self.orders.remove(&order.tag());
    }

    /// Ends every session, here and in every process; says how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_all(&self) -> Result<u64, StoreError> {
        let ended = self.store.delete_all(self.now()).await;
        self.live.clear();
        self.ready.clear();
        ended
    }

    /// In this order: who loads it from now on sees that it ended, and who began to before loses the
    /// place to put it.
    pub(super) fn forget(&self, name: &Name) {
        self.ended.insert(*name, ());
        self.live.remove(name);
        self.ready.remove(name);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
