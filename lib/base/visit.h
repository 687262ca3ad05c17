// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

namespace dmsnap {

/// A visitor made of lambdas, for std::visit.
template <typename... Calls> struct Visit : Calls... {
    using Calls::operator()...;
};
template <typename... Calls> Visit(Calls...) -> Visit<Calls...>;

} // namespace dmsnap
