//! Reading a picture of a screen: letters of the font that the node draws with, in rows and columns. Knows PPM.

use anyhow::{Context, Result, ensure};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size16;
/// What is no letter of ours.
const UNREADABLE: char = '\u{fffd}';

/// The rows of text on a picture (PPM, binary, 8 bits a colour), without the blanks that end them.
pub fn text(picture: &[u8]) -> Result<Vec<String>> {
    let (width, height, dots) = parse(picture)?;
    let letter_width = get_raster_width(WEIGHT, HEIGHT);
    let light = |x: usize, y: usize| dots.get((y * width + x) * 3).copied();
    let letter = |row: usize, column: usize| {
        let shows = |letter: &char| {
            get_raster(*letter, WEIGHT, HEIGHT).is_some_and(|raster| {
                raster.rows().enumerate().all(|(line, lights)| {
                    let y = row * HEIGHT.val() + line;
                    (column * letter_width..).zip(lights).all(|(x, expected)| light(x, y) == Some(*expected))
                })
            })
        };
        (' '..='~').find(shows).unwrap_or(UNREADABLE)
    };
    let row = |row| (0..width / letter_width).map(|column| letter(row, column)).collect::<String>();
    Ok((0..height / HEIGHT.val()).map(|index| row(index).trim_end().to_owned()).collect())
}

fn parse(picture: &[u8]) -> Result<(usize, usize, &[u8])> {
    let mut rest = picture;
    let mut word = || -> Result<String> {
        let len = rest.iter().position(u8::is_ascii_whitespace).context("the picture is cut off")?;
        let word = String::from_utf8_lossy(&rest[..len]).into_owned();
        rest = &rest[len + 1..];
        Ok(word)
    };
    let [kind, width, height, most] = [word()?, word()?, word()?, word()?];
    ensure!(kind == "P6" && most == "255", "not a picture that can be read: {kind}, {most}");
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    ensure!(rest.len() >= width * height * 3, "the picture is cut off");
    Ok((width, height, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_blots_are_not() {
        let letter_width = get_raster_width(WEIGHT, HEIGHT);
        let (width, height) = (letter_width * 3 + 1, HEIGHT.val());
        let mut dots = vec![0; width * height * 3];
        for (column, letter) in ['O', 'k'].into_iter().enumerate() {
            for (line, lights) in get_raster(letter, WEIGHT, HEIGHT).unwrap().rows().enumerate() {
                for (dot, light) in lights.iter().enumerate() {
                    let at = (line * width + column * letter_width + dot) * 3;
                    dots[at..at + 3].fill(*light);
                }
            }
        }
        let picture = |dots: &[u8]| [format!("P6\n{width} {height}\n255\n").as_bytes(), dots].concat();
        assert_eq!(text(&picture(&dots)).unwrap(), ["Ok"]);
        dots[0] = 99;
        assert_eq!(text(&picture(&dots)).unwrap(), ["\u{fffd}k"]);
        assert!(text(&picture(&dots[1..])).is_err());
        assert!(text(b"P5\n1 1\n255\n0").is_err());
    }
}
