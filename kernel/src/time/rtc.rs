//! The real-time clock of the PC (MC146818).
//!
//! Knows its registers and the calendar. Must not know what dates are for.

use crate::arch::port;
use core::fmt;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATING: u8 = 1 << 7;
const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;
const AFTERNOON: u8 = 1 << 7;
/// Looks before a clock that is always updating counts as missing.
const LOOKS_MAX: u32 = 100_000;

/// What the clock's registers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registers {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    century: u8,
    status_b: u8,
}

/// A date and time of day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Seconds since 1970, if there is a clock that makes sense.
pub(super) fn read() -> Option<u64> {
    // An update between two bytes would mix two times: read until two readings agree.
    let mut last = read_once()?;
    for _ in 0..10 {
        let again = read_once()?;
        if again == last {
            return Date::parse(last).map(Date::seconds);
        }
        last = again;
    }
    None
}

fn read_once() -> Option<Registers> {
    (0..LOOKS_MAX).find(|_| register(STATUS_A) & UPDATING == 0)?;
    Some(Registers {
        second: register(0),
        minute: register(2),
        hour: register(4),
        day: register(7),
        month: register(8),
        year: register(9),
        century: register(0x32),
        status_b: register(STATUS_B),
    })
}

fn register(index: u8) -> u8 {
    // SAFETY: the clock's index register is ours alone and touches no memory; NMIs stay allowed (bit 7 clear).
    unsafe { port::write::<u8>(INDEX, index) };
    // SAFETY: reading these registers changes nothing.
    unsafe { port::read::<u8>(DATA) }
}

impl Date {
    fn parse(registers: Registers) -> Option<Date> {
        let binary = registers.status_b & BINARY != 0;
        let number = |value: u8| u64::from(if binary { value } else { (value >> 4) * 10 + (value & 0xf) });
        let mut hour = number(registers.hour & !AFTERNOON);
        if registers.status_b & HOURS_24 == 0 {
            hour = hour % 12 + if registers.hour & AFTERNOON != 0 { 12 } else { 0 };
        }
        // The century's register is not everywhere a century.
        let century = match number(registers.century) {
            century @ 20..=21 => century,
            _ => 20,
        };
        let date = Date {
            year: century * 100 + number(registers.year),
            month: number(registers.month),
            day: number(registers.day),
            hour,
            minute: number(registers.minute),
            second: number(registers.second),
        };
        let sane = (1..=12).contains(&date.month)
            && (1..=31).contains(&date.day)
            && date.hour < 24
            && date.minute < 60
            && date.second < 61
            && number(registers.year) < 100;
        sane.then_some(date)
    }

    /// Seconds since 1970. Days are counted from the first of March, so that leap days come last in a year.
    fn seconds(self) -> u64 {
        let (year, month) =
            if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + self.day - 1;
        const DAYS_TO_1970: u64 = 719_468;
        ((days - DAYS_TO_1970) * 24 + self.hour) * 3600 + self.minute * 60 + self.second
    }

    /// The date `seconds` after 1970.
    pub(super) fn of(seconds: u64) -> Date {
        let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Date {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day, hour, minute, second } = self;
        write!(formatter, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const BCD: Registers = Registers {
        second: 0x59,
        minute: 0x30,
        hour: 0x23,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        century: 0x20,
        status_b: HOURS_24,
    };

    fn text(registers: Registers) -> Option<std::string::String> {
        Date::parse(registers).map(|date| date.to_string())
    }

    #[test]
    fn reads_decimal_and_binary_and_both_kinds_of_hours() {
        assert_eq!(text(BCD).unwrap(), "2024-02-29 23:30:59");
        let noon = Registers { hour: 0x12 | AFTERNOON, status_b: 0, ..BCD };
        assert_eq!(text(noon).unwrap(), "2024-02-29 12:30:59");
        let midnight = Registers { hour: 0x12, status_b: 0, ..BCD };
        assert_eq!(text(midnight).unwrap(), "2024-02-29 00:30:59");
        let binary = Registers {
            second: 9,
            minute: 8,
            hour: 7 | AFTERNOON,
            day: 6,
            month: 5,
            year: 99,
            century: 20,
            status_b: BINARY,
        };
        assert_eq!(text(binary).unwrap(), "2099-05-06 19:08:09");
    }

    #[test]
    fn a_missing_clock_is_no_date() {
        let ones = Registers {
            second: 255,
            minute: 255,
            hour: 255,
            day: 255,
            month: 255,
            year: 255,
            century: 255,
            status_b: 0,
        };
        assert_eq!(text(ones), None);
    }

    #[test]
    fn a_senseless_century_is_ours() {
        assert_eq!(text(Registers { century: 0, ..BCD }).unwrap(), "2024-02-29 23:30:59");
    }

    #[test]
    fn seconds_and_dates_agree() {
        assert_eq!(Date::parse(BCD).unwrap().seconds(), 1_709_249_459);
        for seconds in [0, 951_782_399, 951_782_400, 1_709_164_800, 4_294_967_295, 4_107_542_400] {
            assert_eq!(Date::of(seconds).seconds(), seconds);
        }
        assert_eq!(Date::of(951_782_400).to_string(), "2000-02-29 00:00:00");
    }
}
