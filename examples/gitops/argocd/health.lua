-- Health of an AgentTask, for Argo CD. Tested by tests/contract/test_gitops_health.py.
local health = {status = "Progressing", message = "the operator has not seen this generation yet"}
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local said = {}
for _, condition in ipairs(status.conditions or {}) do
  said[condition.type] = condition
end
local ready = said["Ready"]
if ready == nil then
  return health
end
health.message = ready.reason
if ready.message ~= nil and ready.message ~= "" then
  health.message = ready.reason .. ": " .. ready.message
end
if said["Stalled"] ~= nil and said["Stalled"].status == "True" then
  health.status = "Degraded"
elseif ready.status == "True" then
  health.status = "Healthy"
elseif ready.reason == "Suspended" then
  health.status = "Suspended"
end
return health
