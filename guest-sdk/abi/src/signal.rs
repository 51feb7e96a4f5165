//! Signal names and numbers (Linux, `signal(7)`).

macro_rules! signals {
    ($($name:literal = $number:literal),* $(,)?) => {
        /// Every signal a guest can name, in numeric order.
        pub const SIGNALS: &[(&str, i32)] = &[$(($name, $number)),*];
    };
}

signals! {
    "SIGHUP" = 1, "SIGINT" = 2, "SIGQUIT" = 3, "SIGILL" = 4, "SIGTRAP" = 5, "SIGABRT" = 6,
    "SIGBUS" = 7, "SIGFPE" = 8, "SIGKILL" = 9, "SIGUSR1" = 10, "SIGSEGV" = 11, "SIGUSR2" = 12,
    "SIGPIPE" = 13, "SIGALRM" = 14, "SIGTERM" = 15, "SIGSTKFLT" = 16, "SIGCHLD" = 17, "SIGCONT" = 18,
    "SIGSTOP" = 19, "SIGTSTP" = 20, "SIGTTIN" = 21, "SIGTTOU" = 22, "SIGURG" = 23, "SIGXCPU" = 24,
    "SIGXFSZ" = 25, "SIGVTALRM" = 26, "SIGPROF" = 27, "SIGWINCH" = 28, "SIGIO" = 29, "SIGPWR" = 30,
    "SIGSYS" = 31,
}

/// Number of Windows' console break; accepted for listening, never delivered on Linux.
pub const SIGBREAK: i32 = 21 + 1000;

/// The number of a signal name, aliases included (`SIGIOT`, `SIGPOLL`, `SIGBREAK`).
pub fn number(name: &str) -> Option<i32> {
    match name {
        "SIGIOT" => Some(6),
        "SIGPOLL" => Some(29),
        "SIGBREAK" => Some(SIGBREAK),
        _ => SIGNALS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number),
    }
}

/// The name of a signal number.
pub fn name(number: i32) -> Option<&'static str> {
    if number == SIGBREAK {
        return Some("SIGBREAK");
    }
    SIGNALS
        .iter()
        .find(|(_, known)| *known == number)
        .map(|(name, _)| *name)
}
