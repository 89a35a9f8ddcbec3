-- The access review: each key that is currently accepted, what it grants, and why somebody should look at it.
create view if not exists access_review${on_cluster} as
select
    key_id, name, role, tenant, teams, permissions, addresses, masked, created_at, created_by, expires_at, last_used_at, last_used_from,
    arrayFilter(note -> note != '', [
        if(ifNull(last_used_at, created_at) < now64(3) - interval 90 day, 'was not used for 90 days', ''),
        if(expires_at is null, 'never expires', ''),
        if(tenant = '*', 'is for any tenant', ''),
        if(empty(addresses), 'is taken from any address', '')
    ]) as notes
from access_keys final
where ifNull(expires_at > now64(3), 1) and ifNull(revoked_at > now64(3), 1) and ifNull(secrets_end_at > now64(3), 1)
