#compdef ocirt
# zsh completion for ocirt(8): completions/generate_completions.py writes it, from the tables behind --help

_ocirt_containers() {
    local -a containers
    containers=(${(f)"$(_call_program containers ocirt $ocirt_root list --quiet 2>/dev/null)"})
    compadd -a containers
}

_ocirt_commands() {
    local -a commands
    commands=(
        @commands@
    )
    _describe command commands
}

_ocirt() {
    local curcontext=$curcontext context state state_descr line
    local -a ocirt_root
    typeset -A opt_args
    _arguments -C \
        @global@
        '1: :_ocirt_commands' \
        '*:: :->arguments'
    [[ $state == arguments ]] || return
    [[ -z ${opt_args[--root]} ]] || ocirt_root=(--root ${(Q)opt_args[--root]})
    curcontext=${curcontext%:*:*}:ocirt-$words[1]:
    case $words[1] in
        @cases@
    esac
}

_ocirt "$@"
