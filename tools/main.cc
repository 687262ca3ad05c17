// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "log.h"
#include "session.h"

#include <exception>
#include <fcntl.h>
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

int run(const std::vector<std::string>& words)
{
    if (words.empty()) {
        log_error(Error("command line", "go on", "the verb is missing", "dmsnap help").as(Fault::usage));
        return exit_usage;
    }
    std::string verb = words.front();
    if (verb == "--help" || verb == "-h")
        verb = "help";
    if (verb == "--version")
        verb = "version";
    const Command* command = find_command(verb);
    if (command == nullptr) {
        log_error(Error("\"" + printable(verb) + "\"", "do it", "there is no such verb", "dmsnap help"));
        return exit_no_such_verb;
    }
    return run_verb(*command, {words.begin() + 1, words.end()});
}

} // namespace
} // namespace dmsnap::tool

int main(int argc, char** argv)
{
    using namespace dmsnap;
    tool::fill_closed_streams();
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
