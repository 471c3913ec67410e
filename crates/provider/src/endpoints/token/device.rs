//! `grant_type=urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 §3.4).

use super::Asking;
use crate::answer;
use crate::grants::code::verified;
use crate::grants::device::{Poll, poll};
use crate::provider::{Answer, Provider};
use crate::refusal::TokenFault;
use crate::storage::Family;

impl Provider {
    pub(super) async fn device_tokens(&self, asking: Asking<'_>) -> Answer {
        let Asking { client, form, key } = asking;
        let issuer = &*self.settings.issuer;
        let device = form.find("device_code").ok_or(TokenFault::NoDeviceCode)?;
        let waiting = self.store.device(issuer, device).await?;
        let waiting = waiting
            .filter(|waiting| *waiting.client == *client.id)
            .ok_or(TokenFault::UnknownDeviceCode)?;
        let now = self.now();
        let mut grant = match poll(&waiting, now) {
            Poll::Granted(grant) => *grant,
            Poll::Expired => return Err(TokenFault::DeviceExpired.into()),
            Poll::Denied => return Err(TokenFault::DeviceDenied.into()),
            Poll::TooSoon(pause) => {
                self.store.device_polled(issuer, device, pause, now).await?;
                return Err(TokenFault::DeviceTooSoon.into());
            }
            Poll::Pending(pause) => {
                self.store.device_polled(issuer, device, pause, now).await?;
                return Err(TokenFault::DevicePending.into());
            }
        };
        verified(waiting.wish.challenge.as_ref(), form)?;
        grant.key = key.map(str::to_owned);
        let scopes = grant.scopes.clone();
        let family = scopes.offline_access.then(|| self.new_family(&grant));
        let mut tokens = self.both_tokens(client, &grant, &scopes, None).await?;
        tokens.refresh_token = family.as_ref().map(Family::presented);
        let redeemed = self.store.redeem_device(issuer, device, family.as_ref());
        match redeemed.await? {
            true => Ok(answer::secret_json(&tokens)),
            false => Err(TokenFault::UnknownDeviceCode.into()),
        }
    }
}
