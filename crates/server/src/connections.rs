//! TCP connections: accepted, tuned, served by hyper, drained at the end.
//!
//! axum's own loop cannot be told what a server of long streams must say: how much to buffer for a reader
//! that does not take it, and how long a request may take to arrive.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _};

use crate::aside::Aside;
use crate::origin::Peer;
use crate::peers::{self, Peers};
use crate::rooms::Lane;

/// How long a peer may leave sent bytes unacknowledged, or its window closed.
const STUCK: Duration = Duration::from_secs(60);
/// How long the head of a request may take to arrive.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a response that wait for their reader, before the last portion that is taken, and the largest head of a
/// request. hyper's buffer grows to twice as much and stays so.
const BUFFER: usize = 32 << 10;
/// Bytes that the kernel takes before it sends them. Left to itself it takes megabytes for a reader that stalls, and
/// nobody notices for long that it does. This much keeps a fast reader's connection busy while we are woken: what is
/// on its way does not count.
const UNSENT: u32 = 64 << 10;
/// Between two attempts to accept, where the machine is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `shutdown`, then waits for the requests to end.
pub async fn serve<S>(listener: TcpListener, service: S, peers: Arc<Peers>, shutdown: CancellationToken)
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((tcp, address)) => match peers.enter(address.ip()) {
                Some(place) => {
                    let peer = Peer { address: address.ip(), place: Arc::new(place) };
                    drop(connections.spawn(connection(tcp, peer, service.clone(), shutdown.clone())));
                }
                // Nobody waits for this to be read.
                None => drop(tcp.try_write(peers::REFUSAL)),
            },
            Err(error) => {
                // A connection that its client gave up is no reason to wait; too many open files are.
                tracing::debug!(%error, "accepting a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection<S>(tcp: TcpStream, peer: Peer, service: S, shutdown: CancellationToken)
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    tune(&tcp);
    let tcp = Arc::new(tcp);
    let lane = Arc::new(Lane::new(Arc::clone(&tcp)));
    let socket = Socket { tcp: Arc::clone(&tcp), lane: Arc::clone(&lane) };
    let service = service
        .map_request(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            // What a room writes is framed as chunks, which older clients do not read.
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(Arc::clone(&lane));
            }
            request.map(Body::new)
        })
        .map_response(move |response: Response| response.map(|body| Watched { body, tcp: tcp.clone(), gone: None }));
    let service = TowerToHyperService::new(service);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        // Most writes are a token: one buffer costs the kernel less than a list of three.
        .writev(false)
        // To see a client go while a response is written, hyper would hold another 8 KiB to read into.
        .half_close(true)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection");
    }
}

/// Tokens are small and must not wait for company (Nagle). A reader that takes nothing for a minute is let
/// go by the kernel, whatever it was reading: it can resume at its offset.
fn tune(tcp: &TcpStream) {
    let socket = socket2::SockRef::from(tcp);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(STUCK)))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT));
    if let Err(error) = tuned {
        tracing::debug!(%error, "socket options");
    }
}

/// A response body that ends with an error once its reader has closed the connection, which hyper does
/// not look for.
struct Watched {
    body: Body,
    tcp: Arc<TcpStream>,
    gone: Option<Aside<()>>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(task) {
            return Poll::Ready(frame);
        }
        let Self { tcp, gone, .. } = &mut *self;
        let gone = gone.get_or_insert_with(|| Aside::new(closed(Arc::clone(tcp))));
        ready!(Pin::new(gone).poll(task));
        Poll::Ready(Some(Err(axum::Error::new("the reader is gone"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends when the other side has closed the connection. Bytes that it sends instead are hyper's to read:
/// then a failing write tells.
async fn closed(tcp: Arc<TcpStream>) {
    if let Ok(1..) = tcp.peek(&mut [0]).await {
        std::future::pending::<()>().await;
    }
}

/// A connection that hyper shares with its response bodies, and with the room that such a body is in.
struct Socket {
    tcp: Arc<TcpStream>,
    lane: Arc<Lane>,
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(task))?;
            match self.tcp.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Socket {
    fn poll(&self, task: &mut Context<'_>, write: impl Fn(&TcpStream) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(task))?;
            match write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(task, |tcp| tcp.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>, task: &mut Context<'_>, parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(task, |tcp| tcp.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for this when nothing is left in its own buffers.
        self.lane.flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = socket2::SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write);
        Poll::Ready(match shut {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shut => shut,
        })
    }
}
