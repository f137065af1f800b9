"""The scripts that let shells complete command lines of relhealth."""

_BASH = r"""# Completion of relhealth in bash. To have it: source <(relhealth completion bash)
_relhealth() {
  local answer
  mapfile -t answer < <(_RELHEALTH_COMPLETE=bash "$1" "${COMP_LINE:0:COMP_POINT}" \
    "$COMP_WORDBREAKS" 2> /dev/null)
  if [ "${answer[0]}" = files ]; then
    compopt -o filenames -o default
    return
  fi
  compopt -o nosort 2> /dev/null
  COMPREPLY=()
  local one
  for one in "${answer[@]}"; do
    if [ -n "$one" ]; then COMPREPLY+=("$one"); fi
    case $one in *=) compopt -o nospace ;; esac
  done
}
complete -F _relhealth relhealth
"""

_ZSH = r"""#compdef relhealth
# Completion of relhealth in zsh. To have it: source <(relhealth completion zsh), after compinit
_relhealth() {
  local -a answer values texts
  local one
  answer=("${(@f)$(_RELHEALTH_COMPLETE=zsh "${(Q)words[1]}" "${(@Q)words[2,CURRENT-1]}" \
    "${(Q)PREFIX}" 2> /dev/null)}")
  if [[ $answer[1] == files ]]; then
    _files
    return
  fi
  for one in $answer; do
    values+=("${one%%$'\t'*}")
    texts+=("${one//$'\t'/  -- }")
  done
  (( $#values )) || return 1
  if (( $#values == 1 )) && [[ $values[1] == *= ]]; then
    compadd -U -S '' -V relhealth -a values
  else
    compadd -U -l -V relhealth -d texts -a values
  fi
}
compdef _relhealth relhealth
"""

_FISH = r"""# Completion of relhealth in fish. To have it: relhealth completion fish | source
function __relhealth_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set current (string unescape -- $current; or string trim -l -c "'\"" -- $current)
    set -l answer (_RELHEALTH_COMPLETE=fish $words[1] $words[2..] "$current" 2> /dev/null)
    if test "$answer[1]" = files
        __fish_complete_path "$current"
    else
        printf '%s\n' $answer
    end
end
complete -c relhealth -f -a '(__relhealth_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
