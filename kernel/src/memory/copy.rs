//! `memcpy` and its kin, which the compiler calls by name.
//!
//! Knows that 16 bytes at a time are fast everywhere, `rep movsb` not under emulation: 20 MB/s there against 800. Loads and
//! stores are assembly: the compiler would turn a loop of ordinary ones back into a call to the function it stands in.

use core::arch::asm;
use core::arch::x86_64::__m128i;
use core::ffi::c_int;

/// Copies `len` bytes between places that do not overlap.
///
/// # Safety
/// As C's `memcpy`: `source` is readable and `target` writable for `len` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise; not overlapping is a case of the target not lying behind the source.
    unsafe { copy_upwards(target, source, len) };
    target
}

/// Copies `len` bytes between places that may overlap.
///
/// # Safety
/// As C's `memmove`: `source` is readable and `target` writable for `len` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    if target.addr().wrapping_sub(source.addr()) >= len {
        // SAFETY: the caller's promise; the target does not start inside the source.
        unsafe { copy_upwards(target, source, len) };
    } else {
        // SAFETY: the caller's promise; the target starts inside the source.
        unsafe { copy_downwards(target, source, len) };
    }
    target
}

/// Fills `len` bytes with the low byte of `value`.
///
/// # Safety
/// As C's `memset`: `target` is writable for `len` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memset(target: *mut u8, value: c_int, len: usize) -> *mut u8 {
    let byte = value as u8;
    if len < 16 {
        for offset in 0..len {
            // SAFETY: `offset` is below `len`, for which the caller promised a writable target.
            unsafe { store1(target.wrapping_add(offset), byte) };
        }
        return target;
    }
    let block = splat(byte);
    let mut offset = 0;
    while len - offset > 16 {
        // SAFETY: more than 16 bytes of the target are left from `offset` on.
        unsafe { store16(target.wrapping_add(offset), block) };
        offset += 16;
    }
    // SAFETY: the last 16 of at least 16 bytes.
    unsafe { store16(target.wrapping_add(len - 16), block) };
    target
}

/// Compares `len` bytes; negative, zero or positive as the first difference is less, none or more.
///
/// # Safety
/// As C's `memcmp`: both are readable for `len` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> c_int {
    let mut offset = 0;
    while len - offset >= 16 {
        // SAFETY: at least 16 bytes of both are left from `offset` on.
        if unsafe { differ16(left.wrapping_add(offset), right.wrapping_add(offset)) } {
            break;
        }
        offset += 16;
    }
    while offset < len {
        // SAFETY: `offset` is below `len`, for which the caller promised a readable left side.
        let a = unsafe { load1(left.wrapping_add(offset)) };
        // SAFETY: and a readable right side.
        let b = unsafe { load1(right.wrapping_add(offset)) };
        if a != b {
            return c_int::from(a) - c_int::from(b);
        }
        offset += 1;
    }
    0
}

/// As [`memcmp`], when only equality matters.
///
/// # Safety
/// As [`memcmp`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> c_int {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(left, right, len) }
}

/// Bytes before the first zero byte.
///
/// # Safety
/// As C's `strlen`: a zero byte follows, and all before it is readable.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: no zero byte came before this one, so the caller promised that it is readable.
    while unsafe { load1(text.wrapping_add(len)) } != 0 {
        len += 1;
    }
    len
}

/// # Safety
/// `source` readable, `target` writable for `len` bytes; the target does not start inside the source.
#[inline(always)]
unsafe fn copy_upwards(target: *mut u8, source: *const u8, len: usize) {
    if len < 16 {
        for offset in 0..len {
            // SAFETY: `offset` is below `len`.
            unsafe { copy1(target, source, offset) };
        }
        return;
    }
    // The tail is read first and written last: it overlaps what the loop writes.
    // SAFETY: the last 16 of at least 16 bytes.
    let tail = unsafe { load16(source.wrapping_add(len - 16)) };
    let mut offset = 0;
    while len - offset >= 64 {
        // SAFETY: at least 64 bytes are left from `offset` on.
        unsafe { copy64(target.wrapping_add(offset), source.wrapping_add(offset)) };
        offset += 64;
    }
    while len - offset > 16 {
        // SAFETY: more than 16 bytes of the source are left.
        let block = unsafe { load16(source.wrapping_add(offset)) };
        // SAFETY: and of the target.
        unsafe { store16(target.wrapping_add(offset), block) };
        offset += 16;
    }
    // SAFETY: the last 16 of at least 16 bytes.
    unsafe { store16(target.wrapping_add(len - 16), tail) };
}

/// # Safety
/// `source` readable, `target` writable for `len` bytes.
#[inline(always)]
unsafe fn copy_downwards(target: *mut u8, source: *const u8, len: usize) {
    if len < 16 {
        for offset in (0..len).rev() {
            // SAFETY: `offset` is below `len`.
            unsafe { copy1(target, source, offset) };
        }
        return;
    }
    // SAFETY: the first 16 of at least 16 bytes.
    let head = unsafe { load16(source) };
    let mut left = len;
    while left >= 64 {
        left -= 64;
        // SAFETY: these 64 bytes end where the earlier ones began.
        unsafe { copy64(target.wrapping_add(left), source.wrapping_add(left)) };
    }
    while left > 16 {
        left -= 16;
        // SAFETY: these 16 bytes of the source end where the earlier ones began.
        let block = unsafe { load16(source.wrapping_add(left)) };
        // SAFETY: so do those of the target.
        unsafe { store16(target.wrapping_add(left), block) };
    }
    // SAFETY: the first 16 of at least 16 bytes.
    unsafe { store16(target, head) };
}

/// # Safety
/// The byte at `offset` is readable in the source and writable in the target.
#[inline(always)]
unsafe fn copy1(target: *mut u8, source: *const u8, offset: usize) {
    // SAFETY: the caller's promise for the source.
    let byte = unsafe { load1(source.wrapping_add(offset)) };
    // SAFETY: the caller's promise for the target.
    unsafe { store1(target.wrapping_add(offset), byte) };
}

/// Copies 64 bytes, all loads before all stores, so that overlap does no harm.
///
/// # Safety
/// 64 bytes are readable at `source` and writable at `target`.
#[inline(always)]
unsafe fn copy64(target: *mut u8, source: *const u8) {
    // SAFETY: the caller's promise covers all eight accesses.
    unsafe {
        asm!(
            "movups {a}, [{source}]",
            "movups {b}, [{source} + 16]",
            "movups {c}, [{source} + 32]",
            "movups {d}, [{source} + 48]",
            "movups [{target}], {a}",
            "movups [{target} + 16], {b}",
            "movups [{target} + 32], {c}",
            "movups [{target} + 48], {d}",
            source = in(reg) source,
            target = in(reg) target,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// 16 bytes are readable at `source`.
#[inline(always)]
unsafe fn load16(source: *const u8) -> __m128i {
    let block;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("movups {}, [{}]", out(xmm_reg) block, in(reg) source, options(nostack, preserves_flags, readonly));
    }
    block
}

/// # Safety
/// 16 bytes are writable at `target`.
#[inline(always)]
unsafe fn store16(target: *mut u8, block: __m128i) {
    // SAFETY: the caller's promise.
    unsafe { asm!("movups [{}], {}", in(reg) target, in(xmm_reg) block, options(nostack, preserves_flags)) };
}

/// # Safety
/// 16 bytes are readable at both places.
#[inline(always)]
unsafe fn differ16(left: *const u8, right: *const u8) -> bool {
    let equal: u32;
    // SAFETY: the caller's promise covers both loads.
    unsafe {
        asm!(
            "movups {a}, [{left}]",
            "movups {b}, [{right}]",
            "pcmpeqb {a}, {b}",
            "pmovmskb {equal:e}, {a}",
            left = in(reg) left,
            right = in(reg) right,
            equal = out(reg) equal,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            options(nostack, preserves_flags, readonly),
        );
    }
    equal != 0xffff
}

/// # Safety
/// The byte is readable.
#[inline(always)]
unsafe fn load1(source: *const u8) -> u8 {
    let byte: u8;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("mov {}, [{}]", out(reg_byte) byte, in(reg) source, options(nostack, preserves_flags, readonly));
    }
    byte
}

/// # Safety
/// The byte is writable.
#[inline(always)]
unsafe fn store1(target: *mut u8, byte: u8) {
    // SAFETY: the caller's promise.
    unsafe { asm!("mov [{}], {}", in(reg) target, in(reg_byte) byte, options(nostack, preserves_flags)) };
}

/// 16 times `byte`.
#[inline(always)]
fn splat(byte: u8) -> __m128i {
    let eight = i64::from_le_bytes([byte; 8]);
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { core::arch::x86_64::_mm_set1_epi64x(eight) }
}

/// Checks every length up to 300 at several offsets and overlaps. Runs on the host and in the machine.
///
/// # Errors
/// What was wrong, in words.
pub fn self_test() -> Result<(), &'static str> {
    let mut pattern = [0u8; 420];
    for (index, byte) in pattern.iter_mut().enumerate() {
        *byte = (index % 251) as u8 + 1;
    }
    for len in 0..=300 {
        for (from, to) in [(0, 0), (0, 1), (1, 0), (3, 16), (16, 3), (0, 64), (64, 0), (7, 100), (100, 7)] {
            check_move(&pattern, from, to, len)?;
        }
        check_set_and_compare(&pattern, len)?;
    }
    Ok(())
}

fn check_move(pattern: &[u8; 420], from: usize, to: usize, len: usize) -> Result<(), &'static str> {
    let mut moved = *pattern;
    let base = moved.as_mut_ptr();
    // SAFETY: `from`, `to` and `len` together stay below the array's 420 bytes.
    unsafe { memmove(base.wrapping_add(to), base.wrapping_add(from), len) };
    let mut copied = *pattern;
    // SAFETY: as above, and the two arrays are apart.
    unsafe { memcpy(copied.as_mut_ptr().wrapping_add(to), pattern.as_ptr().wrapping_add(from), len) };
    for index in 0..pattern.len() {
        let inside = index >= to && index < to + len;
        let expected = if inside { pattern[index - to + from] } else { pattern[index] };
        if moved[index] != expected {
            return Err("memmove is wrong");
        }
        if copied[index] != expected {
            return Err("memcpy is wrong");
        }
    }
    Ok(())
}

fn check_set_and_compare(pattern: &[u8; 420], len: usize) -> Result<(), &'static str> {
    let mut set = *pattern;
    // SAFETY: 5 + 300 is below 420.
    unsafe { memset(set.as_mut_ptr().wrapping_add(5), 0x1a5, len) };
    for index in 0..set.len() {
        let inside = index >= 5 && index < 5 + len;
        if set[index] != if inside { 0xa5 } else { pattern[index] } {
            return Err("memset is wrong");
        }
    }
    for at in [0, len / 2, len.saturating_sub(1)] {
        let mut other = *pattern;
        other[at] = 0;
        // SAFETY: both arrays have more than `len` bytes.
        let order = unsafe { memcmp(pattern.as_ptr(), other.as_ptr(), len) };
        // SAFETY: as above.
        let reverse = unsafe { memcmp(other.as_ptr(), pattern.as_ptr(), len) };
        if (order > 0) != (len > 0) || (reverse < 0) != (len > 0) {
            return Err("memcmp is wrong");
        }
    }
    let mut text = [b'x'; 420];
    text[len] = 0;
    // SAFETY: the zero byte lies inside the array.
    if unsafe { strlen(text.as_ptr()) } != len {
        return Err("strlen is wrong");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_and_overlap_is_copied_right() {
        super::self_test().unwrap();
    }
}
