//! The error code in the text of a ClickHouse response.

/// `Code: 60. DB::Exception: …` → 60. `None` if a proxy or something else answered, which gives no code.
pub fn clickhouse_code(message: &str) -> Option<u32> {
    let (_, from_code) = message.split_once("Code: ")?;
    from_code.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_answer_is_read() {
        let answer = "Code: 57. DB::Exception: Table h.t already exists. (TABLE_ALREADY_EXISTS)";
        assert_eq!(clickhouse_code(answer), Some(57));
        assert_eq!(clickhouse_code("Received from a:9000. Code: 60"), Some(60));
        assert_eq!(clickhouse_code("bad gateway"), None);
        assert_eq!(clickhouse_code("Code: none"), None);
    }
}
