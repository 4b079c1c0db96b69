//! TLS 1.3, both ends, with keys that are always the same: so a peer's bytes of one run are good in the next.

use crate::Input;
use crate::wire::{Chunks, StoppedClock, Written};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use net::auth::thumbprint::Thumbprints;
use net::rng::Rng;
use net::tls13::{Failure, Identity, Ours, Secured, Source, accept, dial};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use storage::simulation::{block_on, yield_now};

const PATIENCE: Duration = Duration::from_secs(10);

/// The same bytes each time it is asked.
#[derive(Clone)]
pub struct Constant;

impl Rng for Constant {
    fn fill(&self, target: &mut [u8]) {
        target.iter_mut().zip((1..=250).cycle()).for_each(|(place, byte)| *place = byte);
    }
}

static SOURCE: Source<Constant> = Source::new(Constant);
static IDENTITY: LazyLock<Identity> =
    LazyLock::new(|| Identity::generate(&Constant, "barn").expect("the name is a good one"));

/// Either end shows the same certificate, and trusts it.
fn ours() -> Ours<'static, Constant> {
    let mut trusted = Thumbprints::default();
    trusted.add(&IDENTITY.line("barn")).expect("the line is ours");
    Ours { identity: &IDENTITY, trusted: Arc::new(trusted), source: &SOURCE }
}

/// A server whose client says anything.
pub fn tls13_server(data: &[u8]) {
    let (size, rest) = pieces(data);
    block_on(async {
        read(accept(Chunks { rest, size }, Written::default(), ours(), &StoppedClock, PATIENCE).await).await;
    });
}

/// A client whose server says anything.
pub fn tls13_client(data: &[u8]) {
    let (size, rest) = pieces(data);
    block_on(async {
        read(dial(Chunks { rest, size }, Written::default(), ours(), &StoppedClock, PATIENCE).await).await;
    });
}

/// How large the pieces are, and what comes in them.
pub fn pieces(data: &[u8]) -> (usize, &[u8]) {
    let mut input = Input(data);
    (usize::from(input.byte()) + 1, input.0)
}

/// Reads to the end, which is a goodbye or an error; then writes, which may be one.
async fn read<R: Read, W: Write>(secured: Result<Secured<R, W>, Failure>) {
    let Ok(mut secured) = secured else { return };
    assert_eq!(secured.peer.fingerprint, IDENTITY.fingerprint());
    let mut buffer = [0; 500];
    while let Ok(1..) = secured.reader.read(&mut buffer).await {}
    let _ = secured.writer.write_all(b"a grain").await;
    let _ = secured.writer.close().await;
}

/// One direction of a stream, and everything that went through it.
#[derive(Clone, Default)]
pub struct Pipe(Rc<RefCell<(VecDeque<u8>, Vec<u8>)>>);

impl ErrorType for Pipe {
    type Error = ErrorKind;
}

impl Read for Pipe {
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, ErrorKind> {
        while self.0.borrow().0.is_empty() {
            yield_now().await;
        }
        let mut pipe = self.0.borrow_mut();
        let count = target.len().min(pipe.0.len());
        pipe.0.drain(..count).zip(target).for_each(|(byte, place)| *place = byte);
        Ok(count)
    }
}

impl Write for Pipe {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut pipe = self.0.borrow_mut();
        pipe.0.extend(bytes);
        pipe.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Pipe {
    /// Everything that was sent through it.
    pub fn all(&self) -> Vec<u8> {
        self.0.borrow().1.clone()
    }
}

/// What a client and a server say to each other: the handshake, a few words, the goodbye.
pub fn conversation() -> [Vec<u8>; 2] {
    let (to_server, to_client) = (Pipe::default(), Pipe::default());
    block_on(async {
        let (client, server) = futures_util::join!(
            dial(to_client.clone(), to_server.clone(), ours(), &StoppedClock, PATIENCE),
            accept(to_server.clone(), to_client.clone(), ours(), &StoppedClock, PATIENCE),
        );
        for end in [client, server] {
            let mut end = end.expect("they trust each other");
            end.writer.write_all(b"a few words").await.expect("a pipe takes everything");
            end.writer.close().await.expect("a pipe takes everything");
        }
    });
    [to_server, to_client].map(|pipe| pipe.all())
}
