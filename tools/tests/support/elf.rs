//! An ELF file as the UEFI loader is one, but small.

/// An ELF file like the loader's, to be built.
#[derive(Clone, Debug)]
pub struct Elf {
    /// 3 is a file that can be moved.
    pub kind: u16,
    /// Where it begins.
    pub entry: u64,
    /// Names, addresses, contents.
    pub sections: Vec<(&'static str, u64, Vec<u8>)>,
}

/// Code at 0x1000, constants at 0x3000, and data at 0x4000 with one place that holds the address 0x3010.
pub fn elf() -> Elf {
    let relocation = [0x4008_u64, 8, 0x3010].map(u64::to_le_bytes).concat();
    Elf {
        kind: 3,
        entry: 0x1020,
        sections: vec![
            (".text", 0x1000, vec![0x90; 0x1234]),
            (".rodata", 0x3000, vec![0x33; 0x88]),
            (".data", 0x4000, vec![0x44; 0x40]),
            (".rela.dyn", 0x5000, relocation),
        ],
    }
}

impl Elf {
    /// Header, sections, their names, their headers.
    pub fn build(&self) -> Vec<u8> {
        let mut file = vec![0; 64];
        let mut headers = vec![[0; 64]];
        let mut names = vec![0];
        let mut add = |file: &mut Vec<u8>, name: &str, kind: u8, address: u64, bytes: &[u8]| {
            let mut header = [0; 64];
            header[0] = names.len() as u8;
            names.extend(name.bytes().chain([0]));
            let bytes = if bytes.is_empty() { names.clone() } else { bytes.to_vec() };
            header[4] = kind;
            header[16..24].copy_from_slice(&address.to_le_bytes());
            header[24..32].copy_from_slice(&(file.len() as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            file.extend(bytes);
            headers.push(header);
        };
        for (name, address, bytes) in &self.sections {
            add(&mut file, name, if *name == ".rela.dyn" { 4 } else { 1 }, *address, bytes);
        }
        add(&mut file, ".shstrtab", 3, 0, &[]);
        file.resize(file.len().next_multiple_of(8), 0);
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let headers_at = file.len() as u64;
        for (at, value) in [(16, self.kind), (18, 62), (52, 64), (58, 64), (60, headers.len() as u16)] {
            file[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        file[62] = headers.len() as u8 - 1;
        file[20] = 1;
        file[24..32].copy_from_slice(&self.entry.to_le_bytes());
        file[40..48].copy_from_slice(&headers_at.to_le_bytes());
        file.extend(headers.concat());
        file
    }
}
