//! `caching-proxy`: the command line around the proxy.
//!
//! Exit code 0: done, or stopped by a signal in order. 1: a fault at run time. 2: bad input.

mod activation;
mod capacity;
mod clear;
mod cli;
mod control;
mod demo;
mod files;
mod home;
mod metrics;
mod output;
mod purge;
mod reach;
mod recorder;
mod self_signed;
mod serve;
mod signals;
mod start;
mod state;
mod stats;
mod steering;
mod succession;
mod supervisor;
mod units;
mod watchdog;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::Command;
use cli::environment::{base_directory, process};
use proxy::Inherited;
use proxy::clock::Clock;

const FAULT: u8 = 1;
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let sockets = match activation::take(&process) {
        Ok(sockets) => sockets,
        Err(error) => return fail(BAD_INPUT, &chain(&error)),
    };
    let command = match cli::read(&args, &activation::with_addresses(&process, &sockets)) {
        Ok(command) => command,
        Err(fault) => return fail(BAD_INPUT, &fault.to_string()),
    };
    match run(command, sockets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAULT, &chain(&*error)),
    }
}

fn run(command: Command, sockets: Vec<Inherited>) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Print(text) => {
            // A reader that has seen enough, as in `--help | head`, is no fault.
            let _ = io::stdout().write_all(text.as_bytes());
            Ok(())
        }
        Command::Serve(serve) => Ok(serve::run(*serve, sockets, &process)?),
        Command::Clear(what) => Ok(clear::run(&what, base_directory(&process), &mut io::stdout())?),
        Command::Purge(purge) => {
            Ok(purge::run(&purge, base_directory(&process), &mut io::stdout())?)
        }
        Command::Tell(what, instances) => {
            Ok(stats::run(what, &instances, base_directory(&process), &mut io::stdout())?)
        }
        Command::Demo { port } => Ok(serve::run_demo(port, &process)?),
    }
}

fn fail(code: u8, line: &str) -> ExitCode {
    // Without standard error the exit code has to do.
    let _ = writeln!(io::stderr(), "caching-proxy: {line}");
    ExitCode::from(code)
}

/// An error and its causes in one line; a cause that is part of the text before is not repeated.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    cli::Fault::new(line).to_string()
}

/// Milliseconds since the Unix epoch.
fn clock_millis() -> i64 {
    Clock::System.now().as_millis()
}
