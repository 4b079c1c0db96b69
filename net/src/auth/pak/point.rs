//! Points of the curve x² + y² = 1 - 39081 x² y², the early "decaf" form in which they travel, and points made of
//! numbers (Elligator 2). In constant time.

use super::field::{FIELD_LEN, Field};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{DefaultIsZeroes, Zeroize};

/// -d; the curve's `a` is 1 and is left out of the formulas.
const MINUS_D: u32 = 39081;
const D_ABS: Field = Field::small(MINUS_D);
const A_MINUS_D: Field = Field::small(1 + MINUS_D);
const A_MINUS_2D: Field = Field::small(1 + 2 * MINUS_D);
/// The smallest number above 1 that is no square.
const NON_SQUARE: Field = Field::small(7);

/// Bits of a scalar that one step of a multiplication takes.
const WINDOW_BITS: usize = 4;

/// A point in extended coordinates: x = X/Z, y = Y/Z, xy = T/Z.
#[derive(Clone, Copy)]
pub(super) struct Point {
    x: Field,
    y: Field,
    z: Field,
    t: Field,
}

impl Default for Point {
    /// The neutral point.
    fn default() -> Point {
        Point { x: Field::ZERO, y: Field::ONE, z: Field::ONE, t: Field::ZERO }
    }
}

/// Wiping leaves the neutral point, which tells nothing either.
impl DefaultIsZeroes for Point {}

impl Point {
    /// 9front's base point. No other writer about this curve uses it.
    pub(super) fn base() -> Point {
        const X: Field = Field::from_be_hex(
            "297ea0ea2692ff1b4faff46098453a6a26adf733245f065c3c59d0709cecfa96147eaaf3932d94c63d96c170033f4ba0c7f0de840aed939f",
        );
        const Y: Field = Field::small(19);
        Point { x: X, y: Y, z: Field::ONE, t: X * Y }
    }

    /// The sum. Complete: holds for every two points of the curve, equal and neutral ones included.
    pub(super) fn plus(&self, other: &Point) -> Point {
        let a = self.x * other.x;
        let b = self.y * other.y;
        let minus_c = D_ABS * self.t * other.t;
        let d = self.z * other.z;
        let e = (self.x + self.y) * (other.x + other.y) - a - b;
        let f = d + minus_c;
        let h = d - minus_c;
        let k = b - a;
        Point { x: e * f, y: h * k, z: f * h, t: e * k }
    }

    pub(super) fn negative(&self) -> Point {
        Point { x: -self.x, y: self.y, z: self.z, t: -self.t }
    }

    /// `scalar` (big-endian) times the point. The steps are the same for every scalar.
    pub(super) fn times(&self, scalar: &[u8; FIELD_LEN]) -> Point {
        let mut multiples = [Point::default(); 1 << WINDOW_BITS];
        for at in 1..multiples.len() {
            multiples[at] = multiples[at - 1].plus(self);
        }
        let mut product = Point::default();
        for byte in scalar {
            for digit in [byte >> WINDOW_BITS, byte & 0x0f] {
                for _ in 0..WINDOW_BITS {
                    product = product.plus(&product);
                }
                product = product.plus(&pick(&multiples, digit));
            }
        }
        // Of an unblinded value they would tell of the password.
        multiples.zeroize();
        product
    }

    /// The 56 bytes that stand for the point, and for the point that differs from it by (0, -1).
    pub(super) fn encode(&self) -> [u8; FIELD_LEN] {
        let root = (A_MINUS_D * (self.z + self.y) * (self.z - self.y)).inverse_root();
        let u = A_MINUS_D * root;
        let r = root.flipped_by(-(u * self.z).double());
        let s = u * (r * (self.z * self.x + D_ABS * self.y * self.t) + self.y);
        s.flipped_by(s).to_bytes()
    }

    /// The point that 56 bytes stand for, if they stand for one.
    pub(super) fn decode(bytes: &[u8; FIELD_LEN]) -> Option<Point> {
        let s = Field::not_negative(bytes)?;
        let z = Field::ONE + s.square();
        let u = z.square() + (D_ABS * s.square()).double().double();
        let v = u * s.square();
        let root = v.inverse_root();
        if !bool::from(v.is_square_with(root)) {
            return None;
        }
        let sign = u * root;
        let w = root.flipped_by(sign) * s * (Field::small(2) - z);
        let w = Field::conditional_select(&w, &(w + Field::ONE), s.is_zero());
        let x = s.double();
        Some(Point { x, y: w * z, z, t: w * x })
    }

    /// The point that a number (big-endian, reduced here) leads to.
    pub(super) fn from_number(number: &[u8; FIELD_LEN]) -> Point {
        let r0 = Field::reduced(number);
        let r = NON_SQUARE * r0.square();
        let dr = -(D_ABS * r);
        let d = (dr + A_MINUS_D) * (dr - r + D_ABS);
        let n = (r + Field::ONE) * A_MINUS_2D;
        let nd = n * d;
        let root = nd.inverse_root();
        let is_square = nd.is_square_with(root);
        let other_root = NON_SQUARE * r0 * (NON_SQUARE * nd).inverse_root();
        let c = Field::conditional_select(&-Field::ONE, &Field::ONE, is_square);
        let e = Field::conditional_select(&other_root, &root, is_square);
        let s = c * n * e;
        let t = -(c * n * (r - Field::ONE) * (A_MINUS_2D * e).square()) - Field::ONE;
        let (below, above) = (Field::ONE - s.square(), Field::ONE + s.square());
        Point { x: s.double() * t, y: below * above, z: above * t, t: s.double() * below }
    }
}

impl ConditionallySelectable for Point {
    fn conditional_select(otherwise: &Point, chosen: &Point, choice: Choice) -> Point {
        let select = |otherwise, chosen| Field::conditional_select(otherwise, chosen, choice);
        Point {
            x: select(&otherwise.x, &chosen.x),
            y: select(&otherwise.y, &chosen.y),
            z: select(&otherwise.z, &chosen.z),
            t: select(&otherwise.t, &chosen.t),
        }
    }
}

/// The multiple number `digit`; all are touched, so that the cache does not tell which.
fn pick(multiples: &[Point; 1 << WINDOW_BITS], digit: u8) -> Point {
    let mut picked = Point::default();
    for (multiple, at) in multiples.iter().zip(0u8..) {
        picked.conditional_assign(multiple, at.ct_eq(&digit));
    }
    picked
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::fixtures::{array, fixture, list, text};
    use super::{Field, Point, Zeroize};
    use serde_json::Value;
    use subtle::ConstantTimeEq;

    fn field(value: &Value) -> Field {
        Field::reduced(&array(value))
    }

    /// Equal as points, whatever represents them.
    #[track_caller]
    pub(in super::super) fn assert_is(point: &Point, wanted: &Value) {
        let (x, y, z) = (field(&wanted["X"]), field(&wanted["Y"]), field(&wanted["Z"]));
        assert!(bool::from((point.x * z).ct_eq(&(x * point.z))), "x");
        assert!(bool::from((point.y * z).ct_eq(&(y * point.z))), "y");
        assert!(bool::from((point.t * point.z).ct_eq(&(point.x * point.y))), "t");
    }

    #[test]
    fn multiples_of_the_base_point_are_9fronts() {
        for vector in list(&fixture("decaf448")["base_multiples"]) {
            let point = Point::base().times(&array(&vector["scalar"]));
            assert_is(&point, &vector["point"]);
            assert_eq!(point.encode(), array(&vector["encoded"]), "{}", text(&vector["scalar"]));
        }
    }

    #[test]
    fn numbers_lead_to_the_points_that_9front_finds() {
        for vector in list(&fixture("decaf448")["elligator"]) {
            let point = Point::from_number(&array(&vector["input"]));
            assert_is(&point, vector);
            assert_eq!(point.encode(), array(&vector["encoded"]), "{}", text(&vector["input"]));
        }
    }

    #[test]
    fn what_9front_decodes_is_decoded_and_what_it_refuses_is_refused() {
        let mut refused = 0;
        for vector in list(&fixture("decaf448")["decode"]) {
            match Point::decode(&array(&vector["s"])) {
                Some(point) => {
                    assert_eq!(vector["ok"], true, "{}", text(&vector["s"]));
                    assert_is(&point, vector);
                    assert_eq!(point.encode(), array(&vector["s"]));
                }
                None => {
                    assert_eq!(vector["ok"], false, "{}", text(&vector["s"]));
                    refused += 1;
                }
            }
        }
        assert!(refused > 2);
    }

    #[test]
    fn sums_are_9fronts() {
        for vector in list(&fixture("decaf448")["add"]) {
            let (a, b) = (Point::decode(&array(&vector["a"])), Point::decode(&array(&vector["b"])));
            let (a, b) = (a.unwrap(), b.unwrap());
            let sum = a.plus(&b);
            assert_is(&sum, &vector["point"]);
            assert_eq!(sum.encode(), array(&vector["sum"]));
            assert_eq!(sum.plus(&b.negative()).encode(), a.encode());
        }
    }

    #[test]
    fn a_wiped_point_is_the_neutral_one() {
        let mut point = Point::base();
        point.zeroize();
        assert_eq!(point.encode(), [0; 56]);
    }
}
