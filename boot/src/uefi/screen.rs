//! The screen, as the firmware has set it up. It stays as it is: no mode is chosen here.

use crate::disk;
use kernel::boot_info::screen::{PixelFormat, Screen};
use uefi::boot;
use uefi::proto::console::gop::{self, GraphicsOutput};

/// The first screen whose pixels can be written to memory in an order that we know.
pub fn find() -> Option<Screen> {
    let handles = boot::find_handles::<GraphicsOutput>().unwrap_or_default();
    handles.into_iter().find_map(|handle| {
        let mut output = disk::open::<GraphicsOutput>(handle)?;
        let mode = output.current_mode_info();
        let format = format(&mode)?;
        let (width, height) = mode.resolution();
        let [width, height, stride] = [width, height, mode.stride()].map(u32::try_from);
        let mut memory = output.frame_buffer();
        let address = memory.as_mut_ptr().expose_provenance() as u64;
        let screen = Screen {
            address,
            pitch: stride.ok()?.checked_mul(4)?,
            width: width.ok()?,
            height: height.ok()?,
            format,
        };
        (screen.len() <= memory.size()).then_some(screen)
    })
}

fn format(mode: &gop::ModeInfo) -> Option<PixelFormat> {
    match mode.pixel_format() {
        gop::PixelFormat::Rgb => Some(PixelFormat::Rgb),
        gop::PixelFormat::Bgr => Some(PixelFormat::Bgr),
        gop::PixelFormat::Bitmask => {
            let mask = mode.pixel_bitmask()?;
            match (mask.red, mask.green, mask.blue) {
                (0x0000_00ff, 0x0000_ff00, 0x00ff_0000) => Some(PixelFormat::Rgb),
                (0x00ff_0000, 0x0000_ff00, 0x0000_00ff) => Some(PixelFormat::Bgr),
                _ => None,
            }
        }
        gop::PixelFormat::BltOnly => None,
    }
}
