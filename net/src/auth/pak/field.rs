//! Numbers modulo p = 2^448 - 2^224 - 1, in constant time.
//!
//! "Negative" means above (p-1)/2, as 9front has it, and bytes are big-endian: other writers about this curve agree
//! on neither.

use core::ops::{Add, Mul, Neg, Sub};
use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U448, const_monty_params};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::DefaultIsZeroes;

/// Bytes of a number.
pub const FIELD_LEN: usize = 56;

const_monty_params!(
    Modulus,
    U448,
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
);

/// (p-1)/2, the greatest number that is not negative.
const HALF: U448 = U448::from_be_hex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffff7fffffffffffffffffffffffffffffffffffffffffffffffffffffff",
);

/// (p-3)/4, the exponent that makes an inverse root.
const INVERSE_ROOT: U448 = U448::from_be_hex(
    "3fffffffffffffffffffffffffffffffffffffffffffffffffffffffbfffffffffffffffffffffffffffffffffffffffffffffffffffffff",
);

/// A number modulo p.
#[derive(Clone, Copy, Default)]
pub(super) struct Field(ConstMontyForm<Modulus, { U448::LIMBS }>);

impl DefaultIsZeroes for Field {}

impl Field {
    pub(super) const ZERO: Field = Field(ConstMontyForm::ZERO);
    pub(super) const ONE: Field = Field(ConstMontyForm::ONE);

    pub(super) const fn small(number: u32) -> Field {
        Field(ConstMontyForm::new(&U448::from_u32(number)))
    }

    pub(super) const fn from_be_hex(digits: &str) -> Field {
        Field(ConstMontyForm::new(&U448::from_be_hex(digits)))
    }

    /// The number that `bytes` make, reduced.
    pub(super) fn reduced(bytes: &[u8; FIELD_LEN]) -> Field {
        Field(ConstMontyForm::new(&U448::from_be_slice(bytes)))
    }

    /// The number that `bytes` make; refused if it is negative, or not below p.
    pub(super) fn not_negative(bytes: &[u8; FIELD_LEN]) -> Option<Field> {
        let number = U448::from_be_slice(bytes);
        let refused: bool = ConstantTimeGreater::ct_gt(&number, &HALF).into();
        (!refused).then(|| Field(ConstMontyForm::new(&number)))
    }

    pub(super) fn to_bytes(self) -> [u8; FIELD_LEN] {
        let mut bytes = [0; FIELD_LEN];
        bytes.copy_from_slice(self.0.retrieve().to_be_bytes().as_ref());
        bytes
    }

    pub(super) fn square(self) -> Field {
        Field(self.0.square())
    }

    pub(super) fn double(self) -> Field {
        self + self
    }

    /// For a square: one divided by its root. For zero: zero. For others: no matter.
    pub(super) fn inverse_root(self) -> Field {
        Field(self.0.pow(&INVERSE_ROOT))
    }

    /// Whether `root` came out of [`Field::inverse_root`] for a square or for zero.
    pub(super) fn is_square_with(self, root: Field) -> Choice {
        ConstantTimeEq::ct_eq(&(self * root.square()), &Field::ONE) | self.is_zero()
    }

    pub(super) fn is_zero(self) -> Choice {
        ConstantTimeEq::ct_eq(&self, &Field::ZERO)
    }

    pub(super) fn is_negative(self) -> Choice {
        ConstantTimeGreater::ct_gt(&self.0.retrieve(), &HALF)
    }

    /// `self`, with the other sign if `sign` is negative.
    pub(super) fn flipped_by(self, sign: Field) -> Field {
        Field::conditional_select(&self, &-self, sign.is_negative())
    }
}

impl ConstantTimeEq for Field {
    fn ct_eq(&self, other: &Field) -> Choice {
        ConstantTimeEq::ct_eq(&self.0, &other.0)
    }
}

impl ConditionallySelectable for Field {
    fn conditional_select(otherwise: &Field, chosen: &Field, choice: Choice) -> Field {
        Field(ConditionallySelectable::conditional_select(&otherwise.0, &chosen.0, choice))
    }
}

impl Add for Field {
    type Output = Field;
    fn add(self, other: Field) -> Field {
        Field(self.0 + other.0)
    }
}

impl Sub for Field {
    type Output = Field;
    fn sub(self, other: Field) -> Field {
        Field(self.0 - other.0)
    }
}

impl Mul for Field {
    type Output = Field;
    fn mul(self, other: Field) -> Field {
        Field(self.0 * other.0)
    }
}

impl Neg for Field {
    type Output = Field;
    fn neg(self) -> Field {
        Field(-self.0)
    }
}
