//! Error numbers of WASI preview 1, and what can go wrong in one of its calls.

use std::io;

use nodule_abi::error::ErrorCode;
use rustix::io::Errno as OsErrno;

use crate::host_error::HostError;

/// An error number as WASI preview 1 counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident = $number:literal, $os:ident;)*) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($os), "` of Linux.")] pub const $name: Self = Self($number);)*

            /// The number of an error of the system; `IO` for one WASI has no word for.
            pub fn from_os(errno: OsErrno) -> Self {
                match errno {
                    $(OsErrno::$os => Self::$name,)*
                    _ => Self::IO,
                }
            }
        }
    };
}

errnos! {
    ACCES = 2, ACCESS;
    AGAIN = 6, AGAIN;
    BADF = 8, BADF;
    BUSY = 10, BUSY;
    CONNRESET = 15, CONNRESET;
    DQUOT = 19, DQUOT;
    EXIST = 20, EXIST;
    FAULT = 21, FAULT;
    FBIG = 22, FBIG;
    ILSEQ = 25, ILSEQ;
    INTR = 27, INTR;
    INVAL = 28, INVAL;
    IO = 29, IO;
    ISDIR = 31, ISDIR;
    MFILE = 33, MFILE;
    NAMETOOLONG = 37, NAMETOOLONG;
    NFILE = 41, NFILE;
    NOBUFS = 42, NOBUFS;
    NODEV = 43, NODEV;
    NOENT = 44, NOENT;
    NOMEM = 48, NOMEM;
    NOSPC = 51, NOSPC;
    NOTCONN = 53, NOTCONN;
    NOTSUP = 58, NOTSUP;
    NXIO = 60, NXIO;
    OVERFLOW = 61, OVERFLOW;
    PERM = 63, PERM;
    PIPE = 64, PIPE;
    ROFS = 69, ROFS;
    SPIPE = 70, SPIPE;
    TIMEDOUT = 73, TIMEDOUT;
}

impl Errno {
    /// A capability is missing; Linux has no such number.
    pub const NOTCAPABLE: Self = Self(76);

    /// The number the guest sees.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The number of a failed read or write.
    pub fn from_io(error: &io::Error) -> Self {
        match OsErrno::from_io_error(error) {
            Some(errno) => Self::from_os(errno),
            None => match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => Self::PIPE,
                io::ErrorKind::WouldBlock => Self::AGAIN,
                io::ErrorKind::ConnectionReset => Self::CONNRESET,
                io::ErrorKind::TimedOut => Self::TIMEDOUT,
                _ => Self::IO,
            },
        }
    }
}

/// Why a WASI call failed.
#[derive(Debug)]
pub enum WasiError {
    /// The guest gets this number.
    Errno(Errno),
    /// The guest is unwound.
    Trap(wasmtime::Error),
}

/// The result of a WASI call.
pub type Result<T> = std::result::Result<T, WasiError>;

impl From<Errno> for WasiError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<wasmtime::Error> for WasiError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<HostError> for WasiError {
    fn from(error: HostError) -> Self {
        let errno = |code: Option<ErrorCode>| match code {
            Some(ErrorCode::Efault) => Errno::FAULT,
            Some(ErrorCode::Eilseq) => Errno::ILSEQ,
            Some(ErrorCode::Enametoolong) => Errno::NAMETOOLONG,
            _ => Errno::INVAL,
        };
        match error {
            HostError::Trap(error) => Self::Trap(error),
            HostError::Errno(record) => Self::Errno(errno(record.error_code())),
            HostError::Code(code) => Self::Errno(errno(Some(code))),
            HostError::Internal(error) => {
                tracing::error!(%error, "a WASI call failed");
                Self::Errno(Errno::IO)
            }
        }
    }
}

/// A call's result as its import returns it.
pub fn respond(result: Result<()>) -> wasmtime::Result<u32> {
    match result {
        Ok(()) => Ok(0),
        Err(WasiError::Errno(errno)) => Ok(u32::from(errno.number())),
        Err(WasiError::Trap(error)) => Err(error),
    }
}

/// The result of a call of `wasmtime_wasi`.
pub fn check(returned: wasmtime::Result<i32>) -> Result<()> {
    match u16::try_from(returned?) {
        Ok(0) => Ok(()),
        Ok(number) => Err(Errno(number).into()),
        Err(_) => Err(Errno::IO.into()),
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::p1::types;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_interface() {
        for (errno, named) in [
            (Errno::ACCES, types::Errno::Acces),
            (Errno::AGAIN, types::Errno::Again),
            (Errno::BADF, types::Errno::Badf),
            (Errno::BUSY, types::Errno::Busy),
            (Errno::CONNRESET, types::Errno::Connreset),
            (Errno::DQUOT, types::Errno::Dquot),
            (Errno::EXIST, types::Errno::Exist),
            (Errno::FAULT, types::Errno::Fault),
            (Errno::FBIG, types::Errno::Fbig),
            (Errno::ILSEQ, types::Errno::Ilseq),
            (Errno::INTR, types::Errno::Intr),
            (Errno::INVAL, types::Errno::Inval),
            (Errno::IO, types::Errno::Io),
            (Errno::ISDIR, types::Errno::Isdir),
            (Errno::MFILE, types::Errno::Mfile),
            (Errno::NAMETOOLONG, types::Errno::Nametoolong),
            (Errno::NFILE, types::Errno::Nfile),
            (Errno::NOBUFS, types::Errno::Nobufs),
            (Errno::NODEV, types::Errno::Nodev),
            (Errno::NOENT, types::Errno::Noent),
            (Errno::NOMEM, types::Errno::Nomem),
            (Errno::NOSPC, types::Errno::Nospc),
            (Errno::NOTCONN, types::Errno::Notconn),
            (Errno::NOTSUP, types::Errno::Notsup),
            (Errno::NXIO, types::Errno::Nxio),
            (Errno::OVERFLOW, types::Errno::Overflow),
            (Errno::PERM, types::Errno::Perm),
            (Errno::PIPE, types::Errno::Pipe),
            (Errno::ROFS, types::Errno::Rofs),
            (Errno::SPIPE, types::Errno::Spipe),
            (Errno::TIMEDOUT, types::Errno::Timedout),
            (Errno::NOTCAPABLE, types::Errno::Notcapable),
        ] {
            assert_eq!(i32::from(errno.number()), named as i32, "{named:?}");
        }
    }

    #[test]
    fn a_broken_pipe_has_one_number_however_it_is_reported() {
        assert_eq!(Errno::from_io(&io::ErrorKind::BrokenPipe.into()), Errno::PIPE);
        assert_eq!(Errno::from_io(&OsErrno::PIPE.into()), Errno::PIPE);
    }
}
