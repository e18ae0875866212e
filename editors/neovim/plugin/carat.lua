-- Loaded by Neovim at start-up: defines the command and starts the server unless told otherwise.
if vim.g.loaded_carat then return end
vim.g.loaded_carat = true

local names = { 'doctor', 'explain', 'off', 'on', 'prompt', 'refactor', 'restart', 'snooze', 'status', 'toggle', 'why' }

vim.api.nvim_create_user_command('Carat', function(call)
  require('carat.commands').run(call)
end, {
  nargs = '*',
  range = true,
  desc = 'Commands of Carat; without a name, its status',
  complete = function(begun)
    return vim.tbl_filter(function(name) return vim.startswith(name, begun) end, names)
  end,
})

local function start()
  if vim.g.carat_autostart ~= false then require('carat').setup_once() end
end

-- After the user's configuration, which may have called setup() with options of its own. Plugin managers may
-- load this later than that.
if vim.v.vim_did_enter == 1 then
  vim.schedule(start)
else
  vim.api.nvim_create_autocmd('VimEnter', { once = true, callback = start })
end
