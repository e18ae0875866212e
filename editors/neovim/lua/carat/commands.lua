-- What `:Carat NAME` does.
local carat = require('carat')
local M = {}

local function say(text, level)
  vim.notify('Carat: ' .. text, level or vim.log.levels.INFO)
end

---Sends a command of the server; `done` gets its result.
local function execute(command, arguments, done)
  local client = carat.client()
  if not client then return say('no server runs for this buffer; see :checkhealth carat', vim.log.levels.WARN) end
  local params = { command = command, arguments = arguments }
  local handler = function(problem, result)
    if problem then return say(problem.message, vim.log.levels.ERROR) end
    done(result)
  end
  if vim.fn.has('nvim-0.11') == 1 then
    client:request('workspace/executeCommand', params, handler, 0)
  else
    client.request('workspace/executeCommand', params, handler, 0)
  end
end

---Shows lines in a scratch buffer beside the window.
local function page(name, text)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(text, '\n', { plain = true }))
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].bufhidden = 'wipe'
  vim.cmd.vsplit()
  vim.api.nvim_win_set_buf(0, buffer)
  vim.wo[0][0].wrap = true
  vim.w.carat_page = name
end

---Runs the code action whose command is `id`, for the lines of the call or the caret.
local function action(id, call, complete)
  local range = call.range > 0 and { start = { call.line1, 0 }, ['end'] = { call.line2, math.huge } } or nil
  if range then
    range['end'][2] = #vim.fn.getline(call.line2)
  end
  vim.lsp.buf.code_action({
    range = range,
    apply = true,
    filter = function(found)
      local command = type(found.command) == 'table' and found.command or found
      if command.command ~= id then return false end
      return complete == nil or complete(command)
    end,
  })
end

local subcommands = {}

function subcommands.status()
  local status = carat.status()
  local lines = { carat.statusline() ~= '' and carat.statusline() or 'not running' }
  if type(status.message) == 'string' then table.insert(lines, status.message) end
  if type(status.quiet) == 'string' then table.insert(lines, 'quiet here: ' .. status.quiet) end
  if type(status.resumesInSeconds) == 'number' then
    table.insert(lines, ('resumes by itself after %d min'):format(math.ceil(status.resumesInSeconds / 60)))
  end
  if type(status.memoryBytes) == 'number' then
    table.insert(lines, ('%d MiB'):format(status.memoryBytes / 1048576))
  end
  if type(status.tokensPerSecond) == 'number' then
    table.insert(lines, ('%.1f tokens a second'):format(status.tokensPerSecond))
  end
  say(table.concat(lines, ', '))
end

function subcommands.toggle()
  execute('carat.toggle', {}, function(result) say(result.paused and 'paused' or 'resumed') end)
end

function subcommands.snooze(call)
  local minutes = tonumber(call.fargs[2] or 10)
  if not minutes or minutes < 0 then return say('`:Carat snooze` takes minutes', vim.log.levels.ERROR) end
  execute('carat.snooze', { minutes }, function(result)
    say(result.paused and ('paused for %g minutes'):format(minutes) or 'resumed')
  end)
end

---Switches a language off or on until the server ends.
local function switch(call, enabled)
  local language = call.fargs[2] or carat.language_id(vim.bo.filetype)
  if language == '' then return say('this buffer has no file type', vim.log.levels.WARN) end
  execute('carat.setLanguage', { language, enabled }, function(result)
    local kept = ('; for good: settings = { languages = { %s = %s } }'):format(language, enabled)
    say(('%s is %s'):format(result.language, result.enabled and 'on' or 'off') .. kept)
  end)
end

function subcommands.off(call) switch(call, false) end

function subcommands.on(call) switch(call, true) end

function subcommands.why()
  local client = carat.client()
  local place = client and vim.lsp.util.make_position_params(0, client.offset_encoding)
  execute('carat.why', { place }, function(record)
    say(type(record) == 'table' and record.why or 'the server does not know this buffer')
  end)
end

function subcommands.prompt()
  execute('carat.lastPrompt', {}, function(record)
    if type(record) ~= 'table' then return say('nothing has been completed yet') end
    local head = ('%s\nmodel %s, %.0f ms\n'):format(record.uri, record.model, record.ms)
    page('prompt', head .. '--- prompt\n' .. record.prompt .. '\n--- completion\n' .. record.completion)
  end)
end

function subcommands.explain(call)
  action('carat.explain', call)
end

function subcommands.refactor(call)
  -- The server says what would help; nobody should have to write an instruction first.
  if carat.status().takesInstructions == false then return action('carat.refactor', call) end
  vim.ui.input({ prompt = 'What is to change? ' }, function(instruction)
    if not instruction or vim.trim(instruction) == '' then return end
    action('carat.refactor', call, function(command)
      local first = command.arguments and command.arguments[1]
      if type(first) == 'table' then first.instruction = vim.trim(instruction) end
      return true
    end)
  end)
end

function subcommands.doctor()
  local program, settings = carat.options.cmd[1], carat.options.settings
  if vim.fn.executable(program) == 0 then
    return say(program .. ' is not executable; see :checkhealth carat', vim.log.levels.ERROR)
  end
  local command = { program, 'doctor' }
  local model = type(settings.models) == 'table' and settings.models.rest or settings.model
  if model then vim.list_extend(command, { '--model', model }) end
  vim.system(command, { text = true }, function(done)
    vim.schedule(function() page('doctor', done.stdout .. done.stderr) end)
  end)
end

---How long a server may take to end, in steps of 50 ms; then it is ended.
local STEPS_TO_END = 100

function subcommands.restart()
  local clients = vim.lsp.get_clients({ name = 'carat' })
  local stop = function(client, force)
    if vim.fn.has('nvim-0.11') == 1 then client:stop(force) else client.stop(force) end
  end
  for _, client in ipairs(clients) do stop(client) end
  local function start(step)
    local left = vim.tbl_filter(function(client) return vim.lsp.get_client_by_id(client.id) ~= nil end, clients)
    -- Buffers would join a server that is about to end.
    if #left == 0 then return carat.start(vim.api.nvim_create_augroup('carat', { clear = false })) end
    if step == STEPS_TO_END then
      for _, client in ipairs(left) do stop(client, true) end
    end
    vim.defer_fn(function() start(step + 1) end, 50)
  end
  start(0)
end

function M.run(call)
  local name = call.fargs[1] or 'status'
  local run = subcommands[name]
  if not run then return say(('there is no `:Carat %s`'):format(name), vim.log.levels.ERROR) end
  run(call)
end

return M
