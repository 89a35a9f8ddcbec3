//! The HTTP side: routes, admission, and shutdown.
//!
//! Enters: requests. Leaves: what the statements' threads reply. Before a statement gets a thread it is authenticated,
//! its settings are checked against the list, and it holds one of a bounded number of places.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::auth::{Password, Refusal};
use super::exception::{Code, Exception};
use super::execute::Job;
use super::pool::Pool;
use super::reply::Identity;
use super::request::Request;
use super::running::Running;
use super::settings::Whitelist;
use super::{body, reply};

/// How long a statement waits for a place.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may go on sending a body that nobody reads any more, before it gets to read the response.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest multipart form: it carries fields, not data.
const FORM_BYTES_MAX: u64 = 16 << 20;
/// Time for statements to stop once they are told to.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// What all requests share.
pub struct Front {
    pub pool: Arc<Pool>,
    pub running: Arc<Running>,
    pub password: Password,
    pub whitelist: Whitelist,
    pub version: String,
    pub places: Arc<Semaphore>,
    pub receive_timeout: Duration,
    pub aborted: watch::Sender<bool>,
}

/// Serves until `stop` resolves, then lets the running statements end for `grace`, then stops them.
pub async fn serve(
    front: Arc<Front>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) {
    let app = Router::new()
        .route("/", get(statement).post(statement))
        .route("/ping", get(alive))
        .route("/replicas_status", get(alive))
        .with_state(Arc::clone(&front));
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for the client's next packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let (stopping, mut stopped) = watch::channel(false);
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        stopping.send_replace(true);
    });
    let deadline = async {
        let _ = stopped.wait_for(|stopped| *stopped).await; // an error means that the server has ended by itself
        tokio::time::sleep(grace).await;
        tracing::warn!(
            running = front.running.count(),
            "stopping the statements that are still running"
        );
        front.places.close();
        front.aborted.send_replace(true);
        front.running.abort_all();
        tokio::time::sleep(ABORT_TIMEOUT).await;
    };
    tokio::select! {
        result = server.into_future() => {
            if let Err(error) = result {
                tracing::error!(%error, "the HTTP server failed");
            }
        }
        () = deadline => tracing::error!("statements did not stop in time"),
    }
}

async fn alive() -> &'static str {
    "Ok.\n"
}

async fn statement(State(front): State<Arc<Front>>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let url: Vec<(String, String)> = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let query_id = url
        .iter()
        .find(|(name, _)| name == "query_id")
        .map(|(_, value)| value.as_str());
    let identity = Identity::new(query_id, &front.version);
    if parts.method != Method::POST && url.is_empty() {
        return Response::new(Body::from("Ok.\n")); // the address itself, in a browser or a health check
    }
    if let Err(refusal) = front.password.check(&parts.headers, &url) {
        return unauthenticated(&identity, &refusal);
    }
    let admitted = admit(&front, &parts.method, &url, &parts.headers, body).await;
    match admitted {
        Ok((request, body)) => run(&front, identity, request, &parts.headers, body).await,
        Err(exception) => identity.refuse(&exception),
    }
}

fn unauthenticated(identity: &Identity, refusal: &Refusal) -> Response {
    let mut response = identity.refuse(&refusal.exception());
    if *refusal == Refusal::Anonymous {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = HeaderValue::from_static("Basic realm=\"ClickHouse server HTTP API\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Parses and checks a request; what is left of the body is data or SQL.
async fn admit(
    front: &Front,
    method: &Method,
    url: &[(String, String)],
    headers: &HeaderMap,
    body: Body,
) -> Result<(Request, Body), Exception> {
    let mut request = Request::new(method, url, headers)?;
    let body = match form_boundary(headers) {
        Some(boundary) => {
            read_form(&mut request, body, boundary).await?;
            Body::empty()
        }
        None => body,
    };
    for name in request.settings.keys() {
        front.whitelist.check(name)?;
    }
    Ok((request, body))
}

fn form_boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(content_type).ok()
}

async fn read_form(request: &mut Request, body: Body, boundary: String) -> Result<(), Exception> {
    let malformed =
        |error: multer::Error| Exception::new(Code::BAD_ARGUMENTS, format!("cannot read the form: {error}"));
    let limits = multer::SizeLimit::new().whole_stream(FORM_BYTES_MAX);
    let constraints = multer::Constraints::new().size_limit(limits);
    let mut form = multer::Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() {
            let reason = format!("external table '{name}': external tables are not supported by the embedded engine");
            return Err(Exception::new(Code::NOT_IMPLEMENTED, reason));
        }
        request.set(&name, &field.text().await.map_err(malformed)?)?;
    }
    Ok(())
}

async fn run(front: &Arc<Front>, identity: Identity, request: Request, headers: &HeaderMap, body: Body) -> Response {
    let place = tokio::time::timeout(ADMISSION_TIMEOUT, Arc::clone(&front.places).acquire_owned()).await;
    let place = match place {
        Ok(Ok(place)) => place,
        Ok(Err(_)) => return identity.refuse(&Exception::new(Code::ABORTED, "the engine is shutting down")),
        Err(_) => {
            let reason = format!("no slot became free within {} seconds", ADMISSION_TIMEOUT.as_secs());
            return identity.refuse(&Exception::new(Code::TOO_MANY_SIMULTANEOUS_QUERIES, reason));
        }
    };
    let (pump, reader) = match body::channel(body, headers, request.decompress, front.receive_timeout) {
        Ok(sides) => sides,
        Err(exception) => return identity.refuse(&exception),
    };
    let (reply, pending) = match reply::channel(&request, headers, identity.clone()) {
        Ok(sides) => sides,
        Err(exception) => return identity.refuse(&exception),
    };
    let (work, interest) = front.running.begin();
    let job = Job {
        pool: Arc::clone(&front.pool),
        request,
        reader,
        reply,
        work,
    };
    tokio::task::spawn_blocking(move || {
        job.run();
        drop(place);
    });
    let mut aborted = front.aborted.subscribe();
    let mut pump = Box::pin(pump.run());
    let mut response = Box::pin(pending.response(interest));
    tokio::select! {
        biased;
        response = &mut response => {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, pump).await; // a client that goes on for longer is cut off
            response
        }
        () = &mut pump => response.await,
        () = async { let _ = aborted.wait_for(|aborted| *aborted).await; } => {
            drop(pump); // the statement's thread sees a body that was cut off
            response.await
        }
    }
}

/// Binds; an error names the option to change.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    anyhow::ensure!(
        address.ip().is_loopback(),
        "--listen {address}: the embedded engine is for this machine only, choose a loopback address such as 127.0.0.1:8123"
    );
    TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on --listen {address}: {error}"))
}
