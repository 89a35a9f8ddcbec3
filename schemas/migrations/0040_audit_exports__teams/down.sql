alter table audit_exports${on_cluster} drop column if exists teams
