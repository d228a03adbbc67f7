-- The health of a VesperBroker, VesperCluster or VesperNode for Argo CD, from the conditions
-- that the operator writes. `make generate` puts it into argocd-cm.yaml.
local health = {status = "Progressing", message = "waiting for the operator"}

local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
-- What the conditions say is about another spec until the operator has seen this one.
if status.observedGeneration == nil or obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to see the change"
  return health
end

local now = {}
for _, condition in ipairs(status.conditions) do
  now[condition.type] = condition
end

local function is(type, value)
  return now[type] ~= nil and now[type].status == value
end

local function say(as, type)
  health.status = as
  health.message = now[type].reason .. ": " .. (now[type].message or "")
  return health
end

-- A person has to act. Diverged and Forked take no node out of service, and are worse.
for _, type in ipairs({"Stalled", "Forked", "Diverged"}) do
  if is(type, "True") then
    return say("Degraded", type)
  end
end
for _, type in ipairs({"Paused", "Suspended"}) do
  if is(type, "True") then
    return say("Suspended", type)
  end
end
-- A volume may grow while all that is ready stays so.
if is("Reconciling", "True") then
  return say("Progressing", "Reconciling")
end
if is("Ready", "True") then
  return say("Healthy", "Ready")
end
if now["Ready"] ~= nil then
  return say("Progressing", "Ready")
end
return health
