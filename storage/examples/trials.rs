//! Trials of some seeds, with nothing but this crate: `cargo run --release -p storage --example trials -- 1 1000`.
//! Stops at the first promise that is broken, with exit code 3. `granary simulate` does more.

use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|number| number.parse()).collect();
    let Ok(&[first, last]) = numbers.as_deref() else {
        eprintln!("usage: trials FIRST LAST");
        return ExitCode::from(2);
    };
    for seed in first..=last {
        if let Err(broken) = storage::trial::run(seed) {
            println!("{broken}");
            return ExitCode::from(3);
        }
    }
    ExitCode::SUCCESS
}
