-- `:checkhealth carat`
local M = {}

function M.check()
  local carat, health = require('carat'), vim.health
  health.start('carat')
  local program = carat.options.cmd[1]
  if vim.fn.executable(program) == 0 then
    health.error(('`%s` is not executable'):format(program), {
      'Install it with `cargo install --locked --path server` in the repository of Carat,',
      'or name it: require("carat").setup({ cmd = { "/path/to/carat" } })',
    })
  else
    local version = vim.system({ program, '--version' }, { text = true }):wait()
    health.ok(('%s: %s'):format(vim.fn.exepath(program), vim.trim(version.stdout)))
  end
  if carat.has_ghost_text() then
    health.ok('this Neovim shows ghost text')
  else
    health.warn('this Neovim has no inline completion: Carat serves the completion menu', { 'Use Neovim 0.12 for ghost text' })
  end
  local clients = vim.lsp.get_clients({ name = 'carat' })
  if #clients == 0 then
    health.warn('no server is running', { 'Open a file; see :help carat-start and :lua print(vim.lsp.log.get_filename())' })
  end
  for _, client in ipairs(clients) do
    health.ok(('server %d serves %d buffers'):format(client.id, vim.tbl_count(client.attached_buffers)))
  end
  local status = carat.status()
  if type(status.message) == 'string' then
    health.error(status.message)
  else
    health.info('status: ' .. (carat.statusline() ~= '' and carat.statusline() or status.state))
  end
end

return M
