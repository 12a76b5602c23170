# fish completion for ocirt(8): completions/generate_completions.py writes it, from the tables behind --help

# The words before the cursor: prints the command, and the number of the argument that is next.
function __ocirt_place
    set -l words (commandline -opc)
    set -e words[1]
    set -l command ''
    set -l number 0
    set -l skip no
    for word in $words
        if test $skip = yes
            set skip no
        else if string match -qr -- '^-.*=' $word
        else if string match -q -- '-*' $word
            switch "$command:"(string replace -r -- '^--?' '' $word)
                @valued@
                    set skip yes
            end
        else if test -z "$command"
            set command $word
            set number 1
        else
            set number (math $number + 1)
        end
    end
    echo $command
    echo $number
end

function __ocirt_is # COMMAND [NUMBER...]: whether that is the command, and one of these the number of the argument
    set -l place (__ocirt_place)
    test "$place[1]" = "$argv[1]"
    and begin
        test (count $argv) -eq 1
        or contains -- $place[2] $argv[2..]
    end
end

function __ocirt_containers
    set -l root
    set -l words (commandline -opc)
    for index in (seq (count $words))
        switch $words[$index]
            case --root -root
                set root --root $words[(math $index + 1)]
            case '--root=*' '-root=*'
                set root --root (string replace -r -- '^--?root=' '' $words[$index])
        end
    end
    ocirt $root list --quiet 2>/dev/null
end

complete -c ocirt -f
@completions@
