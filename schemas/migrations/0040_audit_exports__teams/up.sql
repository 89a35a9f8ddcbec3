-- An export of somebody who may see the events of some teams alone does not hold all: it is said whose it holds.
alter table audit_exports${on_cluster} add column if not exists teams Array(String) default [] comment 'whose events it holds; all where empty' after masked
