//! A device in memory for tests: it sees what a driver makes visible, and answers as a test tells it, truly
//! or not.

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::{self, NonNull};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Copies every shared buffer elsewhere, so that a driver which forgets to take one back, or takes back
/// another, fails.
pub(super) struct FakeHal;

fn pages(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).unwrap()
}

// SAFETY: `dma_alloc` gives zeroed, aligned memory of its own; the other methods keep each buffer's copy
// alive between `share` and `unshare`.
unsafe impl Hal for FakeHal {
    fn dma_alloc(count: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the layout is not empty: the crate asks for one page at least.
        let start = NonNull::new(unsafe { alloc_zeroed(pages(count)) }).unwrap();
        (start.as_ptr().expose_provenance() as PhysAddr, start)
    }

    unsafe fn dma_dealloc(_: PhysAddr, start: NonNull<u8>, count: usize) -> i32 {
        // SAFETY: from `dma_alloc` with the same count, by the caller's promise.
        unsafe { dealloc(start.as_ptr(), pages(count)) };
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        panic!("a fake device has no registers")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let copy: Box<[u8]> = match direction {
            // SAFETY: valid and initialised by the caller's promise.
            BufferDirection::DriverToDevice => unsafe { buffer.as_ref() }.into(),
            _ => vec![0xee; buffer.len()].into(),
        };
        Box::into_raw(copy).cast::<u8>().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(address: PhysAddr, mut buffer: NonNull<[u8]>, direction: BufferDirection) {
        let start = ptr::with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: `share` made a box of this length at this address.
        let copy = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start, buffer.len())) };
        if direction == BufferDirection::DeviceToDriver {
            // SAFETY: valid, and nobody else's for the time of the call, by the caller's promise.
            unsafe { buffer.as_mut() }.copy_from_slice(&copy);
        }
    }
}

/// The device's side of one queue.
#[derive(Clone, Copy, Default)]
struct Rings {
    size: u16,
    descriptors: u64,
    driver: u64,
    device: u64,
    seen: u16,
}

/// What a test sets and looks at.
pub(super) struct State {
    pub(super) features: u64,
    pub(super) agreed: u64,
    pub(super) config: Vec<u8>,
    pub(super) status: DeviceStatus,
    pub(super) resets_ignored: bool,
    pub(super) queue_max: u32,
    pub(super) notices: usize,
    rings: [Rings; 3],
}

/// The device, shared by the driver's transport and the test.
#[derive(Clone)]
pub(super) struct FakeDevice(pub(super) Rc<RefCell<State>>);

/// A chain that the driver made visible.
pub(super) struct Visible {
    pub(super) id: u16,
    /// All that the device may read.
    pub(super) readable: Vec<u8>,
    writable: Vec<(u64, u32)>,
}

impl FakeDevice {
    pub(super) fn new(features: u64, config: &[u8], queue_max: u32) -> FakeDevice {
        FakeDevice(Rc::new(RefCell::new(State {
            features: features | super::feature::VERSION_1,
            agreed: 0,
            config: config.to_vec(),
            status: DeviceStatus::empty(),
            resets_ignored: false,
            queue_max,
            notices: 0,
            rings: [Rings::default(); 3],
        })))
    }

    fn read<V: Copy>(address: u64) -> V {
        // SAFETY: tests read only where the driver said that its rings and buffers are.
        unsafe { ptr::with_exposed_provenance::<V>(address as usize).read_volatile() }
    }

    fn write<V>(address: u64, value: V) {
        // SAFETY: tests write only where the driver let them.
        unsafe { ptr::with_exposed_provenance_mut::<V>(address as usize).write_volatile(value) }
    }

    /// The next chain in `queue` that the device has not seen yet.
    pub(super) fn next(&self, queue: usize) -> Option<Visible> {
        let rings = &mut self.0.borrow_mut().rings[queue];
        if rings.driver == 0 || Self::read::<u16>(rings.driver + 2) == rings.seen {
            return None;
        }
        let id: u16 = Self::read(rings.driver + 4 + 2 * u64::from(rings.seen % rings.size));
        rings.seen = rings.seen.wrapping_add(1);
        let mut visible = Visible { id, readable: Vec::new(), writable: Vec::new() };
        let (mut table, mut at) = (rings.descriptors, u64::from(id));
        loop {
            let (address, len): (u64, u32) = (Self::read(table + 16 * at), Self::read(table + 16 * at + 8));
            let flags: u16 = Self::read(table + 16 * at + 12);
            if flags & 4 != 0 {
                (table, at) = (address, 0);
                continue;
            }
            if flags & 2 != 0 {
                visible.writable.push((address, len));
            } else {
                visible.readable.extend((0..u64::from(len)).map(|i| Self::read::<u8>(address + i)));
            }
            if flags & 1 == 0 {
                return Some(visible);
            }
            at = u64::from(Self::read::<u16>(table + 16 * at + 14));
        }
    }

    /// Every chain in `queue` that the device has not seen yet.
    pub(super) fn all(&self, queue: usize) -> Vec<Visible> {
        core::iter::from_fn(|| self.next(queue)).collect()
    }

    /// Puts chain `id` into the used ring, claiming that `written` bytes were written.
    pub(super) fn give_back(&self, queue: usize, id: u16, written: u32) {
        let rings = self.0.borrow().rings[queue];
        let index: u16 = Self::read(rings.device + 2);
        let element = rings.device + 4 + 8 * u64::from(index % rings.size);
        Self::write(element, u32::from(id));
        Self::write(element + 4, written);
        Self::write(rings.device + 2, index.wrapping_add(1));
    }
}

impl Visible {
    /// Bytes that the device may write.
    pub(super) fn room(&self) -> usize {
        self.writable.iter().map(|(_, len)| *len as usize).sum()
    }

    /// Writes `bytes` from the start of what may be written on.
    pub(super) fn fill(&self, bytes: &[u8]) {
        let places =
            self.writable.iter().flat_map(|(start, len)| (0..u64::from(*len)).map(move |i| start + i));
        for (place, byte) in places.zip(bytes) {
            FakeDevice::write(place, *byte);
        }
    }
}

impl Transport for FakeDevice {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }
    fn read_device_features(&mut self) -> u64 {
        self.0.borrow().features
    }
    fn write_driver_features(&mut self, features: u64) {
        self.0.borrow_mut().agreed = features;
    }
    fn max_queue_size(&mut self, _: u16) -> u32 {
        self.0.borrow().queue_max
    }
    fn notify(&mut self, _: u16) {
        self.0.borrow_mut().notices += 1;
    }
    fn get_status(&self) -> DeviceStatus {
        self.0.borrow().status
    }
    fn set_status(&mut self, status: DeviceStatus) {
        let mut state = self.0.borrow_mut();
        if status != DeviceStatus::empty() || !state.resets_ignored {
            state.status = status;
            if status == DeviceStatus::empty() {
                state.rings = [Rings::default(); 3];
            }
        }
    }
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        false
    }
    fn queue_set(&mut self, queue: u16, size: u32, descriptors: u64, driver: u64, device: u64) {
        let size = u16::try_from(size).unwrap();
        self.0.borrow_mut().rings[usize::from(queue)] = Rings { size, descriptors, driver, device, seen: 0 };
    }
    fn queue_unset(&mut self, queue: u16) {
        self.0.borrow_mut().rings[usize::from(queue)] = Rings::default();
    }
    fn queue_used(&mut self, queue: u16) -> bool {
        self.0.borrow().rings[usize::from(queue)].size != 0
    }
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }
    fn read_config_generation(&self) -> u32 {
        0
    }
    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V, Error> {
        let state = self.0.borrow();
        let bytes = state.config.get(offset..offset + size_of::<V>()).ok_or(Error::ConfigSpaceTooSmall)?;
        V::read_from_bytes(bytes).map_err(|_| Error::ConfigSpaceTooSmall)
    }
    fn write_config_space<V: IntoBytes + Immutable>(&mut self, _: usize, _: V) -> Result<(), Error> {
        Err(Error::Unsupported)
    }
}
