//! Messages that only one browser can read: Message Encryption for Web Push (RFC 8291), which is one record of
//! `aes128gcm` (RFC 8188).
//!
//! Each message has a key pair and a salt of its own. Must never log what it seals.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// The size of the one record, which every push service takes (RFC 8291, 4).
const RECORD: u32 = 4096;
/// What fits it: less the mark of the last record and the tag, and the header, which services count as well.
const LONGEST: usize = 4096 - 86 - 1 - 16;
/// Stands behind the text of the last record (RFC 8188, 2).
const LAST: u8 = 2;

/// So many bytes of key material.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// The body of a push message. `p256dh` and `auth` are the browser's, base64url.
pub fn seal(text: &[u8], p256dh: &str, auth: &str) -> Result<Vec<u8>, &'static str> {
    let ours = PrivateKey::generate(&ECDH_P256).map_err(|_| "no key could be made")?;
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| "no salt could be made")?;
    seal_with(text, p256dh, auth, &ours, &salt)
}

fn seal_with(
    text: &[u8], p256dh: &str, auth: &str, ours: &PrivateKey, salt: &[u8; 16],
) -> Result<Vec<u8>, &'static str> {
    if text.len() > LONGEST {
        return Err("the message is too long for a push");
    }
    let bytes =
        |text: &str| BASE64.decode(text.trim_end_matches('=')).map_err(|_| "a key of the browser is not base64url");
    let (theirs, auth) = (bytes(p256dh)?, bytes(auth)?);
    let public = ours.compute_public_key().map_err(|_| "no key could be made")?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, &theirs);
    let input = agreement::agree(ours, peer, "the browser's key is not a point of the curve", |shared| {
        derive::<32>(&auth, shared, &[b"WebPush: info\0", &theirs, public.as_ref()])
    })?;
    let key = derive::<16>(salt, &input, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce = derive::<12>(salt, &input, &[b"Content-Encoding: nonce\0"])?;
    let failed = |_| "the message could not be encrypted";
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(failed)?);
    let mut record = [text, &[LAST]].concat();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).map_err(failed)?;
    let length = u8::try_from(public.as_ref().len()).map_err(|_| "the key is too long")?;
    Ok([salt, &RECORD.to_be_bytes()[..], &[length], public.as_ref(), &record].concat())
}

/// HKDF (RFC 5869): extract with `salt`, expand with `info`.
fn derive<const LENGTH: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; LENGTH], &'static str> {
    let mut derived = [0; LENGTH];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    let expanded = key.expand(info, Bytes(LENGTH)).and_then(|key| key.fill(&mut derived));
    expanded.map(|()| derived).map_err(|_| "a key could not be derived")
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_standard_comes_out_byte_for_byte() {
        let ours = BASE64.decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let ours = PrivateKey::from_private_key(&ECDH_P256, &ours).unwrap();
        let salt: [u8; 16] = BASE64.decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap().try_into().unwrap();
        let sealed = seal_with(b"When I grow up, I want to be a watermelon", P256DH, AUTH, &ours, &salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC\
            8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64.encode(sealed), expected);
    }

    #[test]
    fn each_message_has_a_key_of_its_own_and_a_bad_one_is_refused() {
        let (one, two) = (seal(b"x", P256DH, AUTH).unwrap(), seal(b"x", P256DH, AUTH).unwrap());
        assert_ne!(one[..16], two[..16]);
        assert_ne!(one[21..86], two[21..86]);
        assert!(seal(&[0; LONGEST], P256DH, AUTH).unwrap().len() <= RECORD as usize);
        assert!(seal(&[0; LONGEST + 1], P256DH, AUTH).is_err());
        assert!(seal(b"x", &P256DH.replace('B', "C"), AUTH).is_err());
        assert!(seal(b"x", "?", AUTH).is_err());
    }
}
