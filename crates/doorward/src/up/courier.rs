//! Carries the provider's word of ended sign-ins to its clients.

use bytes::Bytes;
use http::{Request, header};
use login::Transport as _;
use provider::{Courier, Taken};

use super::transport::IssuerTransport;

impl Courier for IssuerTransport {
    fn post(&self, address: &str, form: String) -> Taken<'_> {
        let request = Request::post(address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form));
        Box::pin(async move {
            let Ok(request) = request else {
                return false;
            };
            let answer = self.send(request).await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
    }
}
