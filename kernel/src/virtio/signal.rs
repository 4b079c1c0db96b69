//! Waiting until a device may have news.
//!
//! Knows interrupts and the timer. Must not know devices.

use crate::executor::timers::sleep_until;
use crate::interrupts::InterruptLine;
use crate::time;
use crate::virtio::mmio::Acknowledgement;
use core::time::Duration;

/// How often a device that cannot interrupt is looked at.
const POLL: Duration = Duration::from_millis(1);

/// How a device calls for attention.
#[derive(Debug)]
pub enum Signal {
    /// By interrupts.
    Interrupt(InterruptLine),
    /// By a wire that stays up until the device is answered.
    Wire(InterruptLine, Acknowledgement),
    /// Not at all: it is looked at every millisecond.
    None,
}

impl Signal {
    /// Returns when there may be news since the last return. One task at a time.
    pub async fn wait(&self) {
        match self {
            Signal::Interrupt(line) => line.wait().await,
            Signal::Wire(line, acknowledgement) => {
                line.wait().await;
                acknowledgement.give();
            }
            Signal::None => sleep_until(time::now().plus(POLL)).await,
        }
    }
}
