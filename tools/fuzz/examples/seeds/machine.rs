//! Seeds of disks, of FAT, of settings, and of what firmware and loaders give.

use super::{Seeds, fixture};
use storage::disk::{gpt, mbr, prep};

const SECTOR: usize = 512;

pub fn add(seeds: &mut Seeds) {
    settings(seeds);
    cloud(seeds);
    cloud_network(seeds);
    tables(seeds);
    // FAT: which disk, then changes (sector, place, length, bytes), then 0 and content.
    let content = [b"new content".repeat(60)].concat();
    let changes: [(&str, &[u8]); 7] = [
        ("nothing", &[]),
        ("boot", &[0, 0, 0, 13, 1, 8]),
        ("table", &[0, 2, 0, 4, 4, 5, 0, 0xff, 0xff]),
        ("root", &[0, 34, 0, 32, 8, 0x41, b'a', 0, b' ', 0, b'l', 0, b'o']),
        ("entry", &[0, 34, 0, 26, 2, 2, 0]),
        ("fat32-table", &[0, 32, 0, 8, 4, 3, 0, 0, 0]),
        ("fat32-root", &[4, 94, 0, 0, 12, b'D', b'I', b'R', 32, 32, 32, 32, 32, 32, 32, 32, 0x10]),
    ];
    for kind in 0..2 {
        for (what, change) in changes {
            seeds.add("fat", what, &[&[kind], change, &[0, 0, 0, 0, 0], &content]);
        }
    }
    acpi(seeds);
    kernel_file(seeds);
    disk_health(seeds);
    frame_sums(seeds);
}

/// An NVMe page, and SMART data with the attributes that are known.
fn disk_health(seeds: &mut Seeds) {
    let mut page = [0; 512];
    (page[0], page[1], page[2], page[3], page[5], page[160]) = (6, 0x34, 1, 100, 3, 2);
    seeds.add("disk_health", "nvme", &[&page]);
    let mut smart = [0; 512];
    for (attribute, id) in smart[2..].chunks_exact_mut(12).zip([5, 9, 190, 194, 197]) {
        (attribute[0], attribute[5]) = (id, 30);
    }
    seeds.add("disk_health", "sata", &[&smart]);
}

fn settings(seeds: &mut Seeds) {
    let all = "# a node\nsysname=granary\nip=10.0.0.2/24\ngateway=10.0.0.1\nip6=fd00::2/64\ngateway6=fe80::1\nmtu=1450\n\
               card.2=00:03.0\nip.2=10.1.0.7/16\nroute.2=10.9.0.0/16 10.1.0.8, fd09::/48 fe80::8\ncard=52:54:00:12:34:56\n\
               venti=10.0.0.0/8,fd00::/8\npanic=halt\nlog=debug\ncompress=no\ncache=64m\ndirty=1g\nconnections=4096\n\
               status=60\n";
    seeds.add("settings", "all", &[all.as_bytes()]);
    seeds.add(
        "settings",
        "wrong",
        &[b"ip=dhcp\nip=none\nnothing=1\ncache=1k\nno equals sign\nventi=1.2.3.4/33\n"],
    );
    seeds.add(
        "settings",
        "line",
        &[b"virtio_mmio.device=512@0xfeb00e00:12 ip=none log=trace compress=maybe"],
    );
}

fn cloud(seeds: &mut Seeds) {
    seeds.add("user_data", "settings", &[b"# a node\nsysname=barn\nventi=10.0.0.0/8\n"]);
    let file = "#cloud-config\nwrite_files:\n- path: /9fat/granary.ini\n  ";
    seeds.add(
        "user_data",
        "plain",
        &[file.as_bytes(), b"content: |\n    sysname=barn\n    http=10.0.0.0/8\n"],
    );
    seeds.add("user_data", "base64", &[file.as_bytes(), b"encoding: b64\n  content: c3RhdHVzPTUK\n"]);
    seeds.add("user_data", "binary", &[file.as_bytes(), b"content: !!binary |\n    c3RhdHVz\n    PTUK\n"]);
    seeds.add(
        "user_data",
        "flow",
        &[b"#cloud-config\n{write_files: [{path: x}, {\"path\": 'granary.ini', content: \"status=5\\n\"}]}\n"],
    );
    for name in ["cidata", "cidata-rock", "config-2"] {
        let image = fixture(&format!("storage/tests/fixtures/cloud/{name}.iso.gz"));
        let used = image.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        seeds.add("cloud_volume", name, &[&image[16 * 2048..used]]);
    }
    let entry = |len: u32, key: u16, name: &[u8]| {
        let mut entry = [&len.to_be_bytes()[..], &key.to_be_bytes(), &[0; 2], name].concat();
        entry.resize(64, 0);
        entry
    };
    let ours = entry(140, 0x21, b"opt/granary/granary.ini");
    seeds.add("fw_cfg", "two", &[&2_u32.to_be_bytes(), &entry(4, 0x20, b"etc/e820"), &ours]);
}

/// Entry points of both kinds, with their tables behind them at 1 MiB; and answers, behind the length of their pieces.
fn cloud_network(seeds: &mut Seeds) {
    let fields = [&[1, 27, 1, 0, 1, 2, 0, 3][..], &[7; 16], &[6, 0, 0]].concat();
    let texts = b"QEMU\0Standard PC\0ds=nocloud;i=i-1;s=http://10.0.2.2:8000/x/\0\0\x7f\x04\0\0\0\0";
    let table = [&fields[..], texts].concat();
    let sealed = |mut entry: Vec<u8>, sum_at: usize| {
        entry[sum_at] = entry.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
        entry.resize(32, 0);
        entry
    };
    let place = (1_u64 << 20) + 32;
    let len = (table.len() as u32).to_le_bytes();
    let new = [&b"_SM3_\0\x18\x03\0\0\x01\0"[..], &len, &place.to_le_bytes()].concat();
    seeds.add("smbios", "3", &[&sealed(new, 5), &table]);
    let place = (place as u32).to_le_bytes();
    let old = [&b"_SM_\0\x1f\x02\x08\0\0\0\0\0\0\0\0_DMI_\0"[..], &len[..2], &place, &[1, 0, 0x28]].concat();
    seeds.add("smbios", "2", &[&sealed(old, 4), &table]);
    for (what, answer) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstatus=5\n"),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsta\r\n6;x\r\ntus=5\n\r\n0\r\n\r\n",
        ),
        ("end", "HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nno"),
        ("interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        seeds.add("http_answer", what, &[&[2], answer.as_bytes()]);
    }
}

fn tables(seeds: &mut Seeds) {
    let part = |name: &str, start, end| prep::Part { name: name.into(), start, end };
    let parts = [part("9fat", 0, 20), part("nvram", 20, 21), part("isect", 22, 30), part("arenas", 30, 60)];
    let inner = prep::encode(&parts, SECTOR).unwrap();
    let text = |sector: &[u8]| sector.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<u8>>();
    seeds.add("prep", "four", &[&text(&inner)]);
    seeds.add("prep", "numbers", &[b"part a 0x10 020\npart b 5 x\npart a 1 2\n"]);
    let fixture = fixture("storage/tests/fixtures/disk/disk.img.gz");
    seeds.add("prep", "fixture", &[&text(&fixture[129 * SECTOR..130 * SECTOR])]);
    seeds.add("mbr", "fixture", &[&fixture[..SECTOR]]);
    seeds.add("mbr", "protective", &[&mbr::protective(100, &[])]);
    let entry = |kind, first, last| gpt::Entry {
        kind,
        unique: gpt::Guid::random([7; 16]),
        first,
        last,
        label: "granary".into(),
    };
    let entries = [entry(gpt::Guid::EFI_SYSTEM, 4, 5), entry(gpt::Guid::PLAN9, 6, 90)];
    let encoded = gpt::encode(gpt::Guid::random([9; 16]), 200, SECTOR as u32, &entries);
    // Sector 0 may be part of it; the header begins with its signature. Four entries are enough.
    let at = encoded.primary.windows(8).position(|bytes| bytes == b"EFI PART").unwrap();
    let mut header = encoded.primary[at..at + 92].to_vec();
    header[80..84].copy_from_slice(&4_u32.to_le_bytes());
    let entries = &encoded.primary[at + SECTOR..at + 2 * SECTOR];
    let pad = [0; SECTOR - 92];
    seeds.add("gpt", "two", &[&header, &pad, entries]);
    seeds.add("gpt", "sgdisk", &[&crate::fixture("storage/tests/fixtures/disk/sgdisk-4m-sectors-1-2.bin")]);
    let protective = mbr::protective(200, &[]);
    let zero = [0; SECTOR];
    let gap = zero.repeat(3);
    seeds.add("disk", "gpt", &[&[0, 200, 1], &protective, &header, &pad, entries, &gap, &zero, &inner]);
    seeds.add("disk", "plan9", &[&[0, 200, 0], &zero, &text(&inner)]);
    let mut dos = zero;
    let slots: [[u8; 16]; 3] = [
        [0, 0, 0, 0, 6, 0, 0, 0, 20, 0, 0, 0, 10, 0, 0, 0],
        [0x80, 0, 0, 0, 0x39, 0, 0, 0, 2, 0, 0, 0, 18, 0, 0, 0],
        [0, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 90, 0, 0, 0],
    ];
    dos[446..494].copy_from_slice(&slots.concat());
    dos[510..].copy_from_slice(&[0x55, 0xaa]);
    seeds.add("disk", "dos", &[&[0, 200, 0], &dos, &zero, &zero, &inner, &dos]);
}

/// Tables as captured, the long ones cut to what matters.
fn acpi(seeds: &mut Seeds) {
    for machine in ["q35", "pc"] {
        let file = fixture(&format!("kernel/tests/fixtures/acpi/{machine}.bin"));
        let (mut rest, mut seed) = (file.as_slice(), vec![1]);
        while let Some((header, behind)) = rest.split_at_checked(12) {
            let len = u32::from_le_bytes(header[8..].try_into().unwrap()) as usize;
            let (piece, behind) = behind.split_at(len);
            rest = behind;
            let mut piece = piece.to_vec();
            if piece.starts_with(b"DSDT") {
                let off = piece.windows(4).position(|name| name == b"_S5_").unwrap();
                piece = [&piece[..36], &piece[off - 8..off + 24]].concat();
                let len = piece.len() as u32;
                piece[4..8].copy_from_slice(&len.to_le_bytes());
            }
            seed.extend_from_slice(&header[..8]);
            seed.extend_from_slice(&(piece.len() as u32).to_le_bytes());
            seed.extend_from_slice(&piece);
        }
        seeds.add("acpi", machine, &[&seed]);
    }
}

/// A kernel of one segment and one note.
fn kernel_file(seeds: &mut Seeds) {
    let mut file = vec![0; 64 + 2 * 56];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (file[18], file[32], file[54], file[56]) = (62, 64, 56, 2);
    let headers: [(usize, u8, [u64; 4]); 2] =
        [(64, 1, [176, 0x100_0000, 16, 64]), (64 + 56, 4, [192, 0, 20, 20])];
    for (at, kind, fields) in headers {
        file[at] = kind;
        for (offset, value) in [8, 24, 32, 40].into_iter().zip(fields) {
            file[at + offset..at + offset + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    let note = [[4, 0, 0, 0], [4, 0, 0, 0], [18, 0, 0, 0], *b"Xen\0", 0x100_0008_u32.to_le_bytes()].concat();
    seeds.add("kernel_file", "small", &[&file, &[7; 16], &note]);
    seeds.add("kernel_slots", "upgrade", &[&[1, 3, 0, 2, 5, 7]]);
}

/// Where a sum was left open, then a frame: TCP and UDP over both families, behind a header in between, in parts.
fn frame_sums(seeds: &mut Seeds) {
    let ethernet = |kind: [u8; 2]| [&[2; 12][..], &kind].concat();
    let ipv4 = |protocol: u8, len: u8, fragment: u8| {
        let header = [0x45, 0, 0, 20 + len, 0, 1, fragment, 0, 64, protocol, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15];
        [ethernet([8, 0]), header.to_vec()].concat()
    };
    let ipv6 = |next: u8, len: u8| {
        let addresses = [&[0xfd][..], &[0; 14], &[2, 0xfd], &[0; 14], &[15]].concat();
        [ethernet([0x86, 0xdd]), vec![0x60, 0, 0, 0, 0, len, next, 64], addresses].concat()
    };
    let tcp =
        [&[0x9c, 0x40, 0x42, 0x8a, 0, 0, 0, 1, 0, 0, 0, 7, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0][..], b"hello"]
            .concat();
    let udp = [&[0, 67, 0, 68, 0, 13, 0, 0][..], b"offer"].concat();
    let between = [6, 0, 1, 4, 0, 0, 0, 0];
    let tcp_sum = [0, 34, 0, 16];
    seeds.add("frame_sums", "tcp4", &[&tcp_sum, &ipv4(6, 25, 0x40), &tcp]);
    seeds.add("frame_sums", "tcp4-part", &[&tcp_sum, &ipv4(6, 25, 0x20), &tcp]);
    seeds.add("frame_sums", "tcp6", &[&[0, 54, 0, 16], &ipv6(6, 25), &tcp]);
    seeds.add("frame_sums", "tcp6-behind", &[&[0, 62, 0, 16], &ipv6(0, 33), &between, &tcp]);
    seeds.add("frame_sums", "udp4", &[&[0, 34, 0, 6], &ipv4(17, 13, 0), &udp]);
    seeds.add("frame_sums", "udp6", &[&[0, 54, 0, 6], &ipv6(17, 13), &udp]);
}
