//! Starts `lmc lsp` for programs: the command of Zed's settings, else `lmc` on the worktree's path.

use zed_extension_api::{
    self as zed, settings::LspSettings, Command, LanguageServerId, Result, Worktree,
};

struct Lmp;

impl zed::Extension for Lmp {
    fn new() -> Self {
        Lmp
    }

    fn language_server_command(
        &mut self,
        id: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Command> {
        let binary = LspSettings::for_worktree(id.as_ref(), worktree)
            .ok()
            .and_then(|settings| settings.binary);
        let (path, arguments) = match binary {
            Some(binary) => (binary.path, binary.arguments),
            None => (None, None),
        };
        let command = path.or_else(|| worktree.which("lmc")).ok_or_else(|| {
            "`lmc` is not on the path. Run `pip install \"lmc-lang[lsp]\"`, or name it in \
             `lsp.lmc.binary.path` of the settings."
                .to_string()
        })?;
        Ok(Command {
            command,
            args: arguments.unwrap_or_else(|| vec!["lsp".to_string()]),
            env: worktree.shell_env(),
        })
    }
}

zed::register_extension!(Lmp);
