//! The daemon's side of the admin socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ensage_endpoint::peers::unix_peer;
use ensage_endpoint::proc::Process;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use super::client::SUN_PATH_MAX;
use super::{Counters, Open, SOCKET};
use crate::gateway::{RunError, Shared, documents};
use crate::metrics;
use crate::session::{Origin, Session};

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// Largest request that is read.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// What the daemon answers instead of a document.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such session")
    }
}

/// Opens the socket, 0600. Whoever holds the state folder's lock may replace a socket that a dead daemon left.
pub(crate) fn bind(state: &Path) -> std::io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::UnixListener;
    let path = state.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = if path.as_os_str().len() < SUN_PATH_MAX {
        UnixListener::bind(&path)?
    } else {
        use std::os::fd::AsRawFd;
        let folder = std::fs::File::open(state)?;
        UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until the gateway stops.
pub(crate) async fn serve(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(shared.clone(), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "the admin socket does not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: UnixStream) {
    let Ok(peer) = stream.peer_cred() else { return };
    let own = rustix::process::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        tracing::warn!(uid = peer.uid(), "another user asked the admin socket");
        return;
    }
    // By a handle on the very process that connected: its number may be another's by now.
    let caller = Arc::new(unix_peer(&stream).ok());
    let service = service_fn(move |request| {
        let (shared, caller) = (shared.clone(), caller.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(shared, caller.as_ref().as_ref(), request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, caller: Option<&Process>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let result = match (&head.method, path.as_slice()) {
        (&Method::GET, ["metrics"]) => return text_answer(metrics::page(&shared)),
        (&Method::GET, ["v1", "status"]) => Ok(documents::status(&shared)),
        (&Method::GET, ["v1", "caller"]) => Ok(json!({ "inside": shared.is_inside(caller) })),
        // For `ensage agents`, which may be asked from everywhere.
        (&Method::GET, ["v1", "agents"]) => Ok(documents::sessions(&shared)),
        // These two are for the `run` of that very session, which is its root.
        (&Method::GET, ["v1", "sessions", id, "life"]) => match own(&shared, id, caller) {
            Ok(session) => return life(shared, session),
            Err(refusal) => Err(refusal),
        },
        (&Method::GET, ["v1", "sessions", id]) => own(&shared, id, caller).map(|s| counters(&s)),
        _ if shared.is_inside(caller) => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "from_session", "this is refused to a process inside a session"))
        }
        (&Method::GET, ["v1", "sessions"]) => Ok(documents::sessions(&shared)),
        (&Method::POST, ["v1", "env"]) => env(&shared, body).await,
        (&Method::POST, ["v1", "reload"]) => reload(&shared).await,
        (&Method::POST, ["v1", "sessions"]) => open(&shared, caller, body).await,
        (&Method::POST, ["v1", "sessions", "all", "end"]) => Ok(json!({ "ended": shared.end_all() })),
        (&Method::POST, ["v1", "sessions", id, "end"]) => find(&shared, id).map(|s| {
            shared.end(&s, "admin");
            json!({ "ended": 1 })
        }),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such request")),
    };
    match result {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(r) => json_answer(r.status, &json!({ "error": r.code, "message": r.message })),
    }
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    *response.status_mut() = status;
    response
}

/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

fn text_answer(text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, METRICS_TYPE);
    response
}

fn find(shared: &Shared, id: &str) -> Result<Arc<Session>, Refusal> {
    Uuid::parse_str(id).ok().and_then(|id| shared.sessions.find(id)).ok_or_else(Refusal::not_found)
}

/// A session of `run`, for its root and nobody else: whoever leaves its life ends it.
fn own(shared: &Shared, id: &str, caller: Option<&Process>) -> Result<Arc<Session>, Refusal> {
    let session = find(shared, id)?;
    let root = session.opening.root;
    if session.opening.origin == Origin::Run && root.is_some() && root == caller.map(Process::key) {
        return Ok(session);
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "from_session", "this is for the process that opened the session"))
}

fn counters(session: &Session) -> Value {
    use std::sync::atomic::Ordering::Relaxed;
    let counters = Counters {
        allowed: session.allowed.load(Relaxed),
        denied: session.denied.load(Relaxed),
        certificate_refusals: session.certificate_refusals.load(Relaxed),
    };
    serde_json::to_value(counters).unwrap_or_default()
}

async fn reload(shared: &Arc<Shared>) -> Result<Value, Refusal> {
    let shared = shared.clone();
    let outcome = tokio::task::spawn_blocking(move || shared.reload()).await;
    match outcome {
        Ok(Ok(generation)) => Ok(json!({ "generation": generation })),
        Ok(Err(message)) => Err(Refusal::new(StatusCode::CONFLICT, "bad_config", message)),
        Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the reload failed")),
    }
}

/// A session of `run`, whose root is the process that asks: for another one nobody speaks.
async fn open(shared: &Arc<Shared>, caller: Option<&Process>, body: Incoming) -> Result<Value, Refusal> {
    let bad = |what: String| Refusal::new(StatusCode::BAD_REQUEST, "usage", what);
    let bytes = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map_err(|e| bad(e.to_string()))?.to_bytes();
    let open: Open = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if caller.is_none_or(|caller| (caller.pid, caller.start_time) != (open.pid, open.start_time)) {
        return Err(bad("a session is opened by its own root".to_owned()));
    }
    let opened = shared.open_run(&open).map_err(|e| {
        let code = if matches!(e, RunError::Leaving) { "no_gateway" } else { "usage" };
        Refusal::new(StatusCode::CONFLICT, code, e.to_string())
    })?;
    serde_json::to_value(opened).map_err(|e| bad(e.to_string()))
}

/// Where a shell is pointed at: the proxy, and a bundle that keeps what the shell trusted before.
async fn env(shared: &Arc<Shared>, body: Incoming) -> Result<Value, Refusal> {
    let bad = |what: String| Refusal::new(StatusCode::BAD_REQUEST, "usage", what);
    let bytes = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map_err(|e| bad(e.to_string()))?.to_bytes();
    let ask: super::Env = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    let policy = shared.policy();
    let proxy = match &ask.enclave {
        None => shared.proxy(),
        Some(name) => {
            let enclave = policy.enclave(name).ok_or_else(|| bad("there is no such enclave".to_owned()))?;
            shared.proxy_for(enclave)
        }
    };
    let proxy = proxy.ok_or_else(|| bad(RunError::NoProxy.to_string()))?;
    let bundles: Vec<std::path::PathBuf> = ask.bundles.iter().map(std::path::PathBuf::from).collect();
    let bundle = shared.bundle(&policy, &bundles).map_err(bad)?;
    Ok(json!({ "proxy": proxy, "bundle": bundle.display().to_string() }))
}

/// Streams nothing, and ends with the gateway. When the other side leaves, a session of `run` is over.
fn life(shared: Arc<Shared>, session: Arc<Session>) -> Response<Body> {
    let guard = LifeGuard { shared, session };
    Response::new(BodyExt::boxed(Ending(Box::pin(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }))))
}

struct LifeGuard {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

impl Drop for LifeGuard {
    fn drop(&mut self) {
        self.shared.end(&self.session, "run_ended");
    }
}

/// A body without a frame that ends with its future.
struct Ending(std::pin::Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl hyper::body::Body for Ending {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.as_mut().poll(cx).map(|()| None)
    }
}
