//! What is kept of a request that may have to be sent again.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::body::{ClientBody, Tape};

/// A request to be sent again should that be due. Nearly every one is dropped unused, so its headers
/// are a list: a copied map would copy its index too.
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Spare {
    /// Of everything but the body.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    /// The request with the body from its beginning.
    pub(super) fn request(self, tape: Option<&Tape>) -> Option<Request<ClientBody>> {
        let body = match tape {
            None => ClientBody::Empty,
            Some(tape) => tape.play()?,
        };
        Some(self.with(body))
    }

    /// The request with this body.
    pub(super) fn with(self, body: ClientBody) -> Request<ClientBody> {
        let Self {
            method,
            uri,
            version,
            headers: list,
        } = self;
        let mut headers = HeaderMap::with_capacity(list.len());
        for (name, value) in list {
            headers.append(name, value);
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        request
    }
}
