//! What the gateway reads out of a request.

use api::ops::Door;
use base::ClientAddress;
use net::{http, ws};

/// How the answer is compressed. Never that of `/` and of `/ws`, whatever a client accepts.
pub(super) fn coding(request: &http::Request) -> Option<http::Coding> {
    let coding = http::Coding::accepted(request)?;
    let path = request.target.split('?').next();
    (!matches!(path, Some("/" | "/ws"))).then_some(coding)
}

/// What a client is told of a body that does not inflate.
pub(super) fn inflate_error(error: http::InflateError) -> api::Error {
    let code = match error {
        http::InflateError::Malformed => base::Code::InvalidArgument,
        http::InflateError::TooLarge { .. } => base::Code::ResourceExhausted,
    };
    api::Error::new(code, format!("Bad request: {error}."))
}

/// The response that opens a WebSocket, if the request asks for one.
pub(super) fn handshake(request: &http::Request) -> Option<Vec<u8>> {
    request.header("upgrade").next()?;
    ws::accept(request).ok()
}

/// As much of it as operations look at.
pub(super) fn to_api(
    request: http::Request,
    websocket: bool,
    client: Option<ClientAddress>,
    door: Door,
) -> api::http::Request {
    let first = |name| request.header(name).next().map(str::to_owned);
    api::http::Request {
        authorization: request.header("authorization").map(str::to_owned).collect(),
        content_type: first("content-type"),
        method_override: first("x-http-method-override"),
        method: request.method,
        target: request.target,
        body: request.body,
        websocket,
        client,
        door,
    }
}
