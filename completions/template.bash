# bash completion for ocirt(8): completions/generate_completions.py writes it, from the tables behind --help

# What may follow the flag $2 of the command $1 (global: ""): sets kind, and words for the kind of that name.
_ocirt_value() {
    kind=''
    case "$1:$2" in
        @values@
    esac
}

# What the argument of number $2 of the command $1 is.
_ocirt_argument() {
    kind=''
    case "$1:$2" in
        @arguments@
    esac
}

_ocirt_flags() {
    case "$1" in
        @flags@
    esac
}

_ocirt() {
    local current=${COMP_WORDS[COMP_CWORD]} command='' flag='' ended='' number=1 kind='' words='' word index
    local -a root=()
    COMPREPLY=()
    # readline makes three words of --flag=value.
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $word == '=' ]]; then
            [[ -n $flag ]] || flag='='
        elif [[ -n $flag ]]; then
            [[ $flag == root && -z $command ]] && root=(--root "$word")
            flag=''
        elif [[ -z $ended && $word == -- ]]; then
            ended=yes
        elif [[ -z $ended && $word == -?* ]]; then
            flag=${word#-}
            flag=${flag#-}
            _ocirt_value "$command" "$flag"
            [[ -n $kind ]] || flag=''
        elif [[ -z $command ]]; then
            command=$word
        else
            number=$((number + 1))
            [[ $command == exec ]] && ended=yes
        fi
    done
    [[ $current == '=' ]] && current=''
    if [[ -n $flag ]]; then
        _ocirt_value "$command" "$flag"
    elif [[ -z $ended && $current == -* ]]; then
        _ocirt_flags "$command"
    elif [[ -z $command ]]; then
        kind=command
    else
        _ocirt_argument "$command" "$number"
    fi
    case $kind in
        @commands@
        container) words=$("$1" "${root[@]}" list --quiet 2>/dev/null) ;;
        file) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        folder) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    esac
    [[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _ocirt ocirt
