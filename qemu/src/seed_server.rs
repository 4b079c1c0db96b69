//! A small HTTP server on loopback with what a cloud has for a machine. Knows requests without bodies; several may come over
//! one connection. Ends when it is dropped.

use anyhow::Result;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether this is the end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a request, and requests of a connection, that a sane client never sends.
const LINES_MAX: usize = 1000;

/// One thing that it has.
#[derive(Clone, Debug)]
pub struct File {
    /// `GET /path`, as a request begins.
    pub request: &'static str,
    /// A header line that must come with it, in lower case.
    pub header: Option<&'static str>,
    /// What it is.
    pub body: String,
}

#[derive(Default)]
struct State {
    files: Mutex<Vec<File>>,
    asked: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// The server.
pub struct SeedServer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl SeedServer {
    /// Serves nothing yet.
    pub fn start() -> Result<SeedServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let state = Arc::<State>::default();
        let thread = Some(std::thread::spawn({
            let state = state.clone();
            move || accept(&listener, &state)
        }));
        Ok(SeedServer { port, state, thread })
    }

    /// What it has from now on.
    pub fn set(&self, files: &[File]) {
        *lock(&self.state.files) = files.to_vec();
    }

    /// What was asked since the last call: `GET /path`.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.asked))
    }
}

impl Drop for SeedServer {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been told already.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    while !state.over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let state = state.clone();
                // Whoever breaks a connection off finds out by himself.
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

fn serve(stream: TcpStream, state: &State) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut head: Vec<String> = Vec::new();
    let mut line = String::new();
    while !state.over.load(Ordering::Relaxed) && head.len() < LINES_MAX {
        match reader.read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error.into()),
        }
        let text = std::mem::take(&mut line).trim_end().to_owned();
        if !text.is_empty() {
            head.push(text);
        } else if !head.is_empty() {
            writer.write_all(answer(&head, state).as_bytes())?;
            head.clear();
        }
    }
    Ok(())
}

fn answer(head: &[String], state: &State) -> String {
    let request = head[0].strip_suffix(" HTTP/1.1").unwrap_or(&head[0]).to_owned();
    let file = lock(&state.files).iter().find(|file| file.request == request).cloned();
    lock(&state.asked).push(request);
    let has = |header: &str| head.iter().any(|line| line.to_lowercase() == header);
    let (status, body) = match file {
        None => ("404 Not Found", String::new()),
        Some(file) if !file.header.is_none_or(has) => ("401 Unauthorized", String::new()),
        Some(file) => ("200 OK", file.body),
    };
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
