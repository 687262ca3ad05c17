// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "log.h"
#include "session.h"

#include <algorithm>
#include <exception>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace dmsnap::tool {
namespace {

/// A stream that came closed would be the next device that is opened, and messages would be written to it. What takes
/// its place fails as the closed one would: it cannot be read from, or not written to.
void fill_closed_streams()
{
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(exit_cannot_start);
}

int verbosity_of(const Arguments& arguments)
{
    return arguments.has("quiet") ? -1 : static_cast<int>(arguments.count("verbose"));
}

/// Of an option that may stand alone; empty: it may not.
std::string verb_of(const std::string& option)
{
    if (option == "--help" || option == "-h")
        return "help";
    return option == "--version" ? "version" : "";
}

int run_verb(const Command& command, const std::vector<std::string>& words)
{
    const Arguments arguments = parse(command, words);
    set_up_log(verbosity_of(arguments));
    if (arguments.has("help")) {
        print(help_text(command));
        return exit_done;
    }
    if (arguments.has("version"))
        return version_command.run(arguments);
    return command.run(arguments);
}

/// The verb is the first word that is no option; the options before it are the verb's. --help and --version are verbs
/// where there is no other.
int run(std::vector<std::string> words)
{
    const auto is_verb = [](const std::string& word) { return !word.starts_with('-'); };
    auto verb = std::find_if(words.begin(), words.end(), is_verb);
    if (verb == words.end())
        verb = std::find_if(words.begin(), words.end(), [](const std::string& word) { return !verb_of(word).empty(); });
    if (verb == words.end())
        throw Error("command line", "go on", "the verb is missing", "dmsnap help").as(Fault::usage);
    const std::string name = is_verb(*verb) ? *verb : verb_of(*verb);
    words.erase(verb);
    const Command* command = find_command(name);
    if (command == nullptr) {
        log_error(Error("\"" + printable(name) + "\"", "do it", "there is no such verb", "dmsnap help"));
        return exit_no_such_verb;
    }
    return run_verb(*command, words);
}

} // namespace
} // namespace dmsnap::tool

int main(int argc, char** argv)
{
    using namespace dmsnap;
    tool::fill_closed_streams();
    // Tables of encrypted devices are read, keys and all: none of it is for a core file.
    prctl(PR_SET_DUMPABLE, 0);
    tool::set_up_log(0);
    try {
        return tool::run({argv + 1, argv + argc});
    } catch (const Error& error) {
        return tool::exit_code_of(error);
    } catch (const std::exception& error) {
        tool::log_error(std::string("internal error: ") + error.what());
        return tool::exit_failed;
    }
}
