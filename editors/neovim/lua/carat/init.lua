-- Carat in Neovim: starts the language server, shows its ghost text, binds keys that leave menus alone.
local M = {}

---@class carat.Options
local defaults = {
  cmd = { 'carat' }, -- the program and its arguments
  filetypes = nil, -- nil: all
  settings = {}, -- of the server; docs/configuration.md lists them
  keys = {
    accept = '<Tab>', -- take the ghost text; does what it did before when there is none
    accept_word = '<C-Right>', -- take its next word
    accept_line = '<C-End>', -- take its next line
    dismiss = '<C-]>', -- take it away; it does not come again at this place
    ask = '<M-\\>', -- ask for text where none comes, or for more than one
    next = '<M-]>', -- the next proposal, where there are several
    previous = '<M-[>',
  }, -- false instead of a key binds none
}

---What the server calls a language, where Neovim's file type is another name: a project's settings are the same
---for all editors.
local language_ids = {
  cs = 'csharp',
  gitrebase = 'git-rebase',
  objc = 'objective-c',
  objcpp = 'objective-cpp',
  ps1 = 'powershell',
  sh = 'shellscript',
  tex = 'latex',
  text = 'plaintext',
}

M.options = vim.deepcopy(defaults)
---What to say where no server runs.
M.problem = nil
---The last `carat/status` of each client, by its number.
local statuses = {}
---Folders that a client takes when it has been introduced, by its number.
local later = {}

local configured = false

---Whether this Neovim shows ghost text of language servers (0.12 and newer).
function M.has_ghost_text()
  return vim.lsp.inline_completion ~= nil
end

---@param options? carat.Options
function M.setup(options)
  configured = true
  M.options = vim.tbl_deep_extend('force', vim.deepcopy(defaults), options or {})
  vim.lsp.handlers['carat/status'] = function(_, status, context)
    statuses[context.client_id] = status
    vim.cmd.redrawstatus()
  end
  vim.lsp.handlers['carat/askAgain'] = function(_, better)
    M.ask_again(better)
  end
  local group = vim.api.nvim_create_augroup('carat', {})
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == 'carat' then M.attach(client, event.buf) end
    end,
  })
  M.start(group)
end

---What the plugin does by itself, unless the user has called setup().
function M.setup_once()
  if not configured then M.setup() end
end

---What the server calls the language of a file type.
function M.language_id(filetype)
  return language_ids[filetype] or filetype
end

---@param client vim.lsp.Client
local function add_folders(client, folders)
  if #folders == 0 then return end
  local params = { event = { added = folders, removed = {} } }
  if vim.fn.has('nvim-0.11') == 1 then
    client:notify('workspace/didChangeWorkspaceFolders', params)
  else
    client.notify('workspace/didChangeWorkspaceFolders', params)
  end
end

---One server for all projects: each would have the memory of its models. It is told of a project that is new to it.
---@param client vim.lsp.Client
---@param config vim.lsp.ClientConfig
local function shares(client, config)
  if client.name ~= config.name or client:is_stopped() then return false end
  if type(config.root_dir) ~= 'string' then return true end
  local folder = { uri = vim.uri_from_fname(config.root_dir), name = config.root_dir }
  local known = client.workspace_folders or {}
  for _, one in ipairs(known) do
    if one.uri == folder.uri then return true end
  end
  client.workspace_folders = vim.list_extend({ folder }, known)
  if client.initialized then
    add_folders(client, { folder })
  else
    later[client.id] = vim.list_extend(later[client.id] or {}, { folder })
  end
  return true
end

---@return vim.lsp.ClientConfig
function M.client_config()
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.experimental = { carat = { status = true, askAgain = M.has_ghost_text() } }
  -- Neovim applies versioned edits and creates files, and does not say so. Its question before an edit that
  -- has annotations shows nothing of the edit: `u` serves better.
  capabilities.workspace.workspaceEdit.documentChanges = true
  capabilities.workspace.workspaceEdit.changeAnnotationSupport = vim.NIL -- nil would be filled in again
  local settings = next(M.options.settings) and M.options.settings or vim.empty_dict()
  return {
    name = 'carat',
    cmd = M.options.cmd,
    filetypes = M.options.filetypes,
    root_markers = { '.carat.toml', '.git' },
    capabilities = capabilities,
    init_options = settings,
    settings = { carat = settings },
    get_language_id = function(_, filetype) return M.language_id(filetype) end,
    reuse_client = shares,
    on_init = function(client)
      add_folders(client, later[client.id] or {})
      later[client.id] = nil
    end,
    on_exit = function(_, _, id) statuses[id], later[id] = nil, nil end,
  }
end

---Starts the server for all buffers of the wanted file types.
function M.start(group)
  if vim.fn.executable(M.options.cmd[1]) == 0 then
    M.problem = M.options.cmd[1] .. ' is not executable; see :checkhealth carat'
    vim.notify_once('Carat: ' .. M.problem, vim.log.levels.WARN)
    return
  end
  M.problem = nil
  if vim.lsp.config then
    vim.lsp.config('carat', M.client_config())
    vim.lsp.enable('carat')
    return
  end
  -- Neovim 0.10 has no table of servers yet.
  local start = function(buffer)
    if vim.bo[buffer].buftype ~= '' then return end
    local config = M.client_config()
    if config.filetypes and not vim.tbl_contains(config.filetypes, vim.bo[buffer].filetype) then return end
    config.root_dir = vim.fs.root(buffer, config.root_markers)
    vim.lsp.start(config, { bufnr = buffer, reuse_client = shares })
  end
  vim.api.nvim_create_autocmd('FileType', { group = group, callback = function(event) start(event.buf) end })
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.bo[buffer].filetype ~= '' then start(buffer) end
  end
end

---@param client vim.lsp.Client
---@param buffer integer
function M.attach(client, buffer)
  if M.has_ghost_text() and client:supports_method('textDocument/inlineCompletion', buffer) then
    vim.lsp.inline_completion.enable(true, { bufnr = buffer })
    M.bind(buffer)
  elseif vim.lsp.completion then
    -- 0.11: entries of the completion menu. It opens by itself only where it writes nothing by itself.
    local waits = vim.o.completeopt:find('noselect') ~= nil or vim.o.completeopt:find('noinsert') ~= nil
    vim.lsp.completion.enable(true, client.id, buffer, { autotrigger = waits, convert = M.menu_entry })
  end
  -- 0.10 has the server behind omnifunc (CTRL-X CTRL-O) by itself.
end

---An entry of 0.11's menu: the first line of the answer. By itself it would take the first word.
function M.menu_entry(item)
  local text = item.textEdit and item.textEdit.newText or item.label
  return { word = text:match('^[^\r\n]*') }
end

---Binds the keys in one buffer.
function M.bind(buffer)
  local keys = M.options.keys or {}
  local bind = function(key, description, action)
    if not key then return end
    local before = vim.fn.maparg(key, 'i', false, true)
    vim.keymap.set('i', key, function()
      -- An open menu keeps its keys.
      if vim.fn.pumvisible() == 0 and action() then return '' end
      return M.fall_through(key, before)
    end, { buffer = buffer, expr = true, replace_keycodes = false, desc = description })
  end
  bind(keys.accept, 'Carat: take the ghost text', function()
    return M.accept_part(buffer, function(rest) return rest end)
  end)
  bind(keys.accept_word, 'Carat: take the next word of the ghost text', function()
    return M.accept_part(buffer, M.word)
  end)
  bind(keys.accept_line, 'Carat: take the next line of the ghost text', function()
    return M.accept_part(buffer, M.line)
  end)
  bind(keys.dismiss, 'Carat: dismiss the ghost text', function() return M.dismiss(buffer) end)
  bind(keys.ask, 'Carat: ask for ghost text', function() return M.ask(buffer) end)
  local select = function(count)
    return function()
      if not M.visible(buffer) then return false end
      vim.lsp.inline_completion.select({ bufnr = buffer, count = count })
      return true
    end
  end
  bind(keys.next, 'Carat: next ghost text', select(1))
  bind(keys.previous, 'Carat: previous ghost text', select(-1))
end

---The first word of a text, with what stands before it.
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_]+') or text
end

---The first line of a text; where that is empty, the one after it.
function M.line(text)
  return text:match('^\n?[^\n]+') or text
end

---Takes what `part` takes of the ghost text; false if there is none. The rest comes again at once.
function M.accept_part(buffer, part)
  if not M.visible(buffer) then return false end
  return vim.lsp.inline_completion.get({
    bufnr = buffer,
    on_accept = function(item)
      local text = item.insert_text
      if type(text) ~= 'string' or not item.range then return item end
      -- What has been typed of it stands between the start of its range and the caret.
      local row, column = item.range:to_extmark()
      local caret = vim.api.nvim_win_get_cursor(0)
      if caret[1] - 1 ~= row or caret[2] < column then return nil end
      local typed = vim.api.nvim_buf_get_text(buffer, row, column, row, caret[2], {})[1]
      if not vim.startswith(text, typed) then return nil end
      local rest = text:sub(#typed + 1)
      local taken = part(rest)
      if taken == rest then
        -- Neovim puts all of it where it was offered: before what has been typed of it since.
        vim.api.nvim_buf_set_text(buffer, row, column, row, caret[2], { '' })
        return item
      end
      local lines = vim.split(taken, '\n', { plain = true })
      vim.api.nvim_buf_set_text(buffer, row, caret[2], row, caret[2], lines)
      local last = #lines == 1 and caret[2] + #taken or #lines[#lines]
      vim.api.nvim_win_set_cursor(0, { row + #lines, last })
      return nil
    end,
  })
end

---Takes the ghost text away and tells the server that it is not wanted there; false if there is none.
function M.dismiss(buffer)
  local client = M.client(buffer)
  if not client or not M.visible(buffer) then return false end
  vim.schedule(function()
    -- The one way to let go of the text and of requests for it.
    vim.lsp.inline_completion.get({ bufnr = buffer, on_accept = function() return nil end })
    client:request('workspace/executeCommand', { command = 'carat.dismiss', arguments = {} }, function() end, buffer)
  end)
  return true
end

---Asks for ghost text as for a user who wants it: where none comes by itself, and more than one. Neovim
---0.12 has no function for that; its own, which is private, is used while it is there.
function M.ask(buffer)
  return M.request(buffer, vim.lsp.protocol.InlineCompletionTriggerKind.Invoked)
end

---Asks as typing does, where the server has a better line by now and nothing was typed since.
---@param better { uri: string, version: integer }
function M.ask_again(better)
  local buffer = vim.uri_to_bufnr(better.uri)
  local is_here = buffer == vim.api.nvim_get_current_buf() and vim.startswith(vim.fn.mode(), 'i')
  if is_here and vim.lsp.util.buf_versions[buffer] == better.version then
    M.request(buffer, vim.lsp.protocol.InlineCompletionTriggerKind.Automatic)
  end
end

---@param kind lsp.InlineCompletionTriggerKind
---@return boolean # whether this Neovim can be made to ask
function M.request(buffer, kind)
  local found, capability = pcall(require, 'vim.lsp._capability')
  local completion = found and type(capability.all) == 'table' and capability.all.inline_completion
  local completor = completion and completion.active[buffer]
  if not completor or type(completor.request) ~= 'function' then return false end
  -- A request for the keys before would take this one's place.
  if type(completor.reset_timer) == 'function' then completor:reset_timer() end
  completor:request(kind)
  return true
end

---Whether ghost text is on the screen.
function M.visible(buffer)
  local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  return namespace ~= nil and #vim.api.nvim_buf_get_extmarks(buffer, namespace, 0, -1, { limit = 1 }) > 0
end

---The keys that an earlier mapping stands for.
local function mapped(before)
  if before.callback then
    local keys = before.callback() or ''
    return before.replace_keycodes == 1 and vim.keycode(keys) or keys
  end
  if before.rhs:lower() == '<nop>' then
    return ''
  end
  -- Functions of a script are called by its number from elsewhere.
  local rhs = before.rhs:gsub('<[Ss][Ii][Dd]>', ('<SNR>%d_'):format(before.sid))
  -- `maparg` writes keys as their names, in an expression as well.
  return vim.keycode(before.expr == 1 and vim.api.nvim_eval(rhs) or rhs)
end

---What a key did before it was bound, as the keys of an expression mapping.
function M.fall_through(key, before)
  if before.callback and before.expr ~= 1 then
    vim.schedule(before.callback)
    return ''
  elseif not before.callback and not before.rhs then
    return vim.keycode(key)
  end
  local keys = mapped(before)
  -- What begins with the key itself is not mapped again, as in a mapping; nor would it end.
  if keys ~= '' and before.noremap == 0 and not vim.startswith(keys, vim.keycode(key)) then
    vim.api.nvim_feedkeys(keys, 'im', false)
    return ''
  end
  return keys
end

---The models at work, the one that was chosen before the one that answers at every key.
local function model_names(status)
  local names = {}
  for _, model in ipairs(type(status.models) == 'table' and status.models or {}) do
    table.insert(names, 1, vim.fs.basename(model.name))
  end
  if #names > 1 then return ' ' .. table.concat(names, ', ') end
  return type(status.model) == 'string' and ' ' .. status.model or ''
end

---What the server of the current buffer said last of itself; without one, what any of them said.
function M.status()
  if M.problem then return { state = 'error', message = M.problem } end
  local client = M.client() or vim.lsp.get_clients({ name = 'carat' })[1]
  return client and statuses[client.id] or { state = 'stopped' }
end

---For status lines: `%{v:lua.require'carat'.statusline()}`. Empty where Carat does not run.
function M.statusline()
  local status = M.status()
  if status.state == 'stopped' then return '' end
  local model = model_names(status)
  local state = status.state
  if type(status.quiet) == 'string' and (state == 'ready' or state == 'busy') then state = 'quiet here' end
  return state == 'ready' and 'carat' .. model or ('carat%s (%s)'):format(model, state)
end

---The running client of a buffer, or nil.
function M.client(buffer)
  return vim.lsp.get_clients({ name = 'carat', bufnr = buffer or 0 })[1]
end

return M
