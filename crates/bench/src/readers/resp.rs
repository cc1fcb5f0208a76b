//! As much of the Redis protocol (RESP2) as reading a stream takes.

/// A command as an array of bulk strings.
pub fn command(words: &[&str]) -> Vec<u8> {
    let each = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), each.collect::<String>()).into_bytes()
}

/// Where the reply at the beginning of `bytes` ends, once it is there as a whole.
pub fn complete(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")?;
    let number = || std::str::from_utf8(bytes.get(1..line)?).ok()?.parse::<i64>().ok();
    let mut end = line + 2;
    match bytes.first()? {
        b'$' => {
            if let Ok(length) = usize::try_from(number()?) {
                end += length + 2;
            }
        }
        b'*' => {
            for _ in 0..number()? {
                end += complete(&bytes[end..])?;
            }
        }
        _ => {}
    }
    (bytes.len() >= end).then_some(end)
}

/// The id of the last entry in a reply to `XREAD`: digits, a hyphen, digits.
pub fn last_id(reply: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(reply).ok()?;
    let is_id = |line: &&str| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        line.split_once('-').is_some_and(|(time, number)| digits(time) && digits(number))
    };
    text.lines().rev().find(is_id).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_complete_with_its_last_byte_and_tells_its_last_id() {
        let reply = b"*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nt\r\n$2\r\nhi\r\n";
        assert_eq!(complete(reply), Some(reply.len()));
        assert!((0..reply.len()).all(|cut| complete(&reply[..cut]).is_none()));
        assert_eq!(last_id(reply).as_deref(), Some("5-0"));
    }
}
