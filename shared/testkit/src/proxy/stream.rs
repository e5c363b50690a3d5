//! Connections over unix sockets and TCP alike.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

/// Where connections come in.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener, String),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `unix:///PATH`, in place of who did before, or at `tcp://HOST:PORT`.
    pub(super) fn bind(address: &str) -> io::Result<Self> {
        if let Some(path) = address.strip_prefix("unix://") {
            if std::fs::exists(path)? {
                std::fs::remove_file(path)?;
            }
            return Ok(Self::Unix(UnixListener::bind(path)?, address.to_owned()));
        }
        Ok(Self::Tcp(TcpListener::bind(host(address)?)?))
    }

    pub(super) fn address(&self) -> String {
        match self {
            Self::Unix(_, address) => address.clone(),
            Self::Tcp(listener) => {
                format!("tcp://{}", listener.local_addr().expect("a listener has an address"))
            }
        }
    }

    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn connect(address: &str) -> io::Result<Self> {
        match address.strip_prefix("unix://") {
            Some(path) => UnixStream::connect(path).map(Self::Unix),
            None => TcpStream::connect(host(address)?).map(Self::Tcp),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // It may have ended already, which is just as well.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }

    /// The other side reads an end, and cannot write any more.
    pub(super) fn close(&self) {
        self.shutdown(Shutdown::Both);
    }

    /// The other side reads an end; what it writes still comes.
    pub(super) fn end_output(&self) {
        self.shutdown(Shutdown::Write);
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).read(buffer),
            Stream::Tcp(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).write(bytes),
            Stream::Tcp(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn host(address: &str) -> io::Result<&str> {
    let host = address.strip_prefix("tcp://");
    host.ok_or_else(|| io::Error::other(format!("`{address}` is neither unix:// nor tcp://")))
}
