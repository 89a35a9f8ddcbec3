//! The engine's configuration files.
//!
//! Enters: the data folder and the memory it may use. Leaves: the text of `config.xml` and `users.xml`. Disks, storage
//! policies, backups and limits can be set only in a file; a statement's settings come with the statement.

use std::path::Path;

/// The mark cache and the primary key cache each get the memory limit divided by this.
const CACHE_DIVISOR: u64 = 16;
/// Memory that must be free for each thread of a statement. A server's default, 1 GiB, is this engine's whole default
/// limit: no statement would ever get a second thread.
const THREAD_BYTES_MIN: u64 = 64 << 20;

/// `config.xml`: two folders are the volumes `hot` and `cold` of the policy `tiered`; a third is for backups.
pub fn server(data: &Path, memory_bytes: u64) -> String {
    let folder = |name: &str| escape(&format!("{}/{name}/", data.display()));
    let cache_bytes = memory_bytes / CACHE_DIVISOR;
    format!(
        "<clickhouse>
    <users_config>{users}</users_config>
    <logger>
        <log>{log}engine.log</log>
        <size>10M</size>
        <count>2</count>
    </logger>
    <log-level>warning</log-level>
    <timezone>UTC</timezone>
    <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
    <mark_cache_size>{cache_bytes}</mark_cache_size>
    <primary_index_cache_size>{cache_bytes}</primary_index_cache_size>
    <index_mark_cache_size>{cache_bytes}</index_mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <mmap_cache_size>0</mmap_cache_size>
    <backups>
        <allowed_disk>backups</allowed_disk>
        <allowed_path>{backups}</allowed_path>
    </backups>
    <storage_configuration>
        <disks>
            <hot><path>{hot}</path></hot>
            <cold><path>{cold}</path></cold>
            <backups><type>local</type><path>{backups}</path></backups>
        </disks>
        <policies>
            <tiered>
                <volumes>
                    <hot><disk>hot</disk></hot>
                    <cold><disk>cold</disk></cold>
                </volumes>
                <move_factor>0</move_factor>
            </tiered>
        </policies>
    </storage_configuration>
</clickhouse>
",
        users = escape(&data.join("users.xml").display().to_string()),
        log = folder("log"),
        hot = folder("hot"),
        cold = folder("cold"),
        backups = folder("backups"),
    )
}

/// `users.xml`: what the embedded library relaxes is set back to a server's defaults, and SQL reaches nothing outside
/// the data folder: no files and no network (sources, table engines), and no programs (the library would run an
/// executable dictionary's command). No grant covers the function `file`: see [`super::file_calls`].
pub fn users() -> String {
    format!(
        "<clickhouse>
    <profiles>
        <default>
            <async_insert>0</async_insert>
            <max_threads_min_free_memory_per_thread>{THREAD_BYTES_MIN}</max_threads_min_free_memory_per_thread>
            <implicit_select>0</implicit_select>
            <allow_introspection_functions>0</allow_introspection_functions>
        </default>
    </profiles>
    <users>
        <default>
            <password></password>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>grant all on *.*</query>
                <query>revoke sources on *.*</query>
                <query>revoke read, write on *</query>
                <query>revoke table engine on *</query>
                <query>revoke create dictionary on *.*</query>
                <query>revoke system shutdown on *.*</query>
                <query>revoke introspection on *.*</query>
            </grants>
        </default>
    </users>
    <quotas>
        <default></default>
    </quotas>
</clickhouse>
"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_name_cannot_leave_its_element() {
        let text = server(Path::new("/a&b/<c>"), 1 << 30);
        assert!(text.contains("<hot><path>/a&amp;b/&lt;c&gt;/hot/</path></hot>"));
        assert!(text.contains("<mark_cache_size>67108864</mark_cache_size>"));
    }
}
