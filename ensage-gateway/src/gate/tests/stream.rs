//! The gate as a stream: under our server towards clients, and under our link towards upstreams.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;

use super::*;
use crate::gate::{Gate, Phase, Waits, Watch};
use crate::h1::{self, Driven, Incoming, Link, SendError};

const GET: &str = "GET /one HTTP/1.1\r\nHost: a\r\n\r\n";

fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    tokio::task::LocalSet::new().block_on(&runtime, limited);
}

/// What a server saw and how it went on.
struct Served {
    targets: Vec<String>,
    bodies: Vec<Option<usize>>,
    watch: Watch,
    early: Bytes,
    unread: Bytes,
}

/// Serves one connection as the data path does. A request for `/wait` is answered when `go` rings.
async fn serve(io: DuplexStream, waits: Waits, go: Rc<Notify>, connect: StatusCode) -> Served {
    let (gate, watch) = Gate::requests(io, SMALL, waits);
    let targets = Rc::new(RefCell::new(Vec::new()));
    let bodies = Rc::new(RefCell::new(Vec::new()));
    let service = async |head: &mut http::request::Parts, body: Incoming| {
        targets.borrow_mut().push(head.uri.to_string());
        let connects = head.method == http::Method::CONNECT;
        if head.uri.path() == "/wait" {
            go.notified().await;
        }
        let read = body.collect().await.map(|b| b.to_bytes().len()).ok();
        bodies.borrow_mut().push(read);
        let status = match read {
            _ if connects => connect,
            Some(_) => StatusCode::OK,
            None => StatusCode::BAD_REQUEST,
        };
        watch.answered();
        Ok::<_, Infallible>(Response::builder().status(status).body(Empty::<Bytes>::new()).unwrap())
    };
    let served = h1::serve(gate, || h1::Presence::Unknown, service).await.unwrap();
    let (mut io, early) = served.io.into_parts();
    io.shutdown().await.unwrap();
    Served { targets: targets.take(), bodies: bodies.take(), watch, early, unread: served.read }
}

impl Driven for Empty<Bytes> {
    fn poll_drive(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

fn start(waits: Waits, connect: StatusCode) -> (DuplexStream, Rc<Notify>, tokio::task::JoinHandle<Served>) {
    let (client, server) = duplex(1 << 16);
    let go = Rc::new(Notify::new());
    let task = tokio::task::spawn_local(serve(server, waits, go.clone(), connect));
    (client, go, task)
}

async fn read_all(client: &mut DuplexStream) -> String {
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    all
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn b1_answers_in_flight_go_out_before_a_refusal() {
    for bad in ["GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "\x16\x03\x01"] {
        for together in [true, false] {
            local(async move {
                let (mut client, go, task) = start(Waits::NONE, StatusCode::OK);
                let first = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
                client.write_all(first.as_bytes()).await.unwrap();
                if !together {
                    settle().await;
                }
                client.write_all(bad.as_bytes()).await.unwrap();
                settle().await;
                assert!(!task.is_finished(), "the exchange in flight was cut");
                go.notify_one();
                assert_eq!(read_all(&mut client).await.matches("HTTP/1.1 200 OK").count(), 1);
                let served = task.await.unwrap();
                assert_eq!(served.targets, ["/wait"]);
                assert_eq!(served.watch.heads(), 1);
                assert_eq!(served.watch.violation().unwrap().kind, Kind::Malformed);
                assert_eq!(served.watch.phase(), Phase::Refused);
                assert!(served.unread.is_empty(), "of the bad head nothing was shown");
            });
        }
    }
}

#[test]
fn b3_a_fault_amid_content_reaches_its_reader() {
    for end in ["5;ext\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n x: y\r\n\r\n", "5\r\nhelloo\r\n0\r\n\r\n"] {
        local(async move {
            let (mut client, _, task) = start(Waits::NONE, StatusCode::OK);
            let input = format!("{GET}POST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{end}");
            client.write_all(input.as_bytes()).await.unwrap();
            let answers = read_all(&mut client).await;
            let served = task.await.unwrap();
            assert_eq!(served.targets, ["/one", "/two"], "{end:?}");
            assert_eq!(served.bodies, [Some(0), None], "the content never looks whole: {end:?}");
            assert!(answers.contains("400 Bad Request"), "the reader may still answer: {answers}");
        });
    }
}

#[test]
fn good_requests_pass_whatever_the_cut() {
    local(async {
        let (mut client, _, task) = start(Waits::default(), StatusCode::OK);
        let one = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let two = "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n";
        for byte in format!("{one}{two}\r\n{one}").bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await.matches("200 OK").count(), 3);
        let served = task.await.unwrap();
        assert_eq!(served.bodies, [Some(3), Some(5), Some(3)]);
        assert_eq!((served.watch.violation(), served.watch.phase()), (None, Phase::Idle));
    });
}

#[test]
fn early_bytes_behind_connect_belong_to_the_tunnel() {
    local(async {
        let (mut client, _, task) = start(Waits::default(), StatusCode::OK);
        client.write_all(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03\x01\n").await.unwrap();
        assert!(read_all(&mut client).await.starts_with("HTTP/1.1 200 OK"));
        let served = task.await.unwrap();
        assert_eq!(served.targets, ["a:443"]);
        assert_eq!((served.early.as_ref(), served.unread.len()), (b"\x16\x03\x01\n".as_slice(), 0));
        assert_eq!((served.watch.violation(), served.watch.phase()), (None, Phase::Held));
    });
}

#[test]
fn b7_behind_a_refused_connect_requests_are_inspected() {
    for (next, heads) in [
        ("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 2),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 1),
    ] {
        local(async move {
            let (mut client, _, task) = start(Waits::default(), StatusCode::BAD_GATEWAY);
            let connect = "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n";
            client.write_all(format!("{connect}{next}").as_bytes()).await.unwrap();
            assert!(read_all(&mut client).await.starts_with("HTTP/1.1 502"));
            let served = task.await.unwrap();
            assert_eq!((served.watch.heads(), served.targets.len()), (heads, usize::try_from(heads).unwrap()));
            assert_eq!(served.watch.violation().is_some(), heads == 1);
        });
    }
}

#[test]
fn h8_a_head_must_end_in_time() {
    local(async {
        let waits = Waits { head_timeout: Some(Duration::from_millis(30)), ..Waits::default() };
        let (mut client, go, task) = start(waits, StatusCode::OK);
        client.write_all(format!("{GET}GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET / HT").as_bytes()).await.unwrap();
        go.notify_one();
        assert_eq!(read_all(&mut client).await.matches("200 OK").count(), 2);
        let served = task.await.unwrap();
        let violation = served.watch.violation().unwrap();
        assert_eq!((violation.kind, served.targets.len()), (Kind::ClientTimeout, 2));
    });
}

#[test]
fn silence_ends_a_connection_only_while_nothing_is_in_flight() {
    local(async {
        let idle = Duration::from_millis(20);
        let (mut client, go, task) = start(Waits { idle_timeout: Some(idle), ..Waits::default() }, StatusCode::OK);
        client.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // Far longer than the idle time: the gate's own timer, on the same clock, has rung by then.
        let late = tokio::time::timeout(idle * 8, client.read_u8()).await;
        assert!(late.is_err() && !task.is_finished(), "a slow answer was cut");
        go.notify_one();
        assert!(read_all(&mut client).await.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(task.await.unwrap().watch.violation(), None);
    });
}

/// What an answer came to: its status, and how long its body is that came whole.
type Got = Result<(u16, Option<usize>), SendError<Infallible>>;

/// One exchange with an upstream that sends these bytes, and what it sends `then`.
async fn ask(answer: &str, then: &str) -> (Got, Watch) {
    let (near, mut far) = duplex(1 << 16);
    let (gate, watch) = Gate::responses(near, SMALL);
    let link = Link::new(gate);
    watch.expect(Asked::Other);
    link.ask(Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap());
    let origin = async {
        while far.read_u8().await.unwrap() != b'\n' {}
        far.write_all(answer.as_bytes()).await.unwrap();
    };
    let (answered, ()) = tokio::join!(link.answer(), origin);
    let got = match answered {
        Err(error) => Err(error),
        Ok(response) => {
            let status = response.status().as_u16();
            Ok((status, response.into_body().collect().await.map(|b| b.to_bytes().len()).ok()))
        }
    };
    far.write_all(then.as_bytes()).await.ok();
    assert_eq!(link.is_usable(), watch.violation().is_none(), "a refused upstream is not used again");
    (got, watch)
}

#[test]
fn b1_an_upstreams_double_framing_never_becomes_an_answer() {
    local(async {
        let head = "HTTP/1.1 200 OK\r\n";
        let both = format!("{head}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let (got, watch) = ask(&both, "").await;
        assert!(got.is_err(), "{got:?}");
        assert_eq!(watch.violation().unwrap().kind, Kind::Upstream);

        let (got, watch) = ask(&format!("{head}content-length: 3\r\n\r\nabc"), "").await;
        assert_eq!((got.unwrap(), watch.violation(), watch.heads()), ((200, Some(3)), None, 1));

        let early = format!("HTTP/1.1 103 Hints\r\n\r\n{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let (got, watch) = ask(&early, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(got.unwrap(), (200, Some(3)), "a second answer does not spoil the first");
        assert_eq!(watch.violation().unwrap().detail, "an answer that nobody asked for");

        let (got, _) = ask(&format!("{head}transfer-encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n"), "").await;
        assert_eq!(got.unwrap(), (200, None), "the content never looks whole");
    });
}
