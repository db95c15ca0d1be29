"""A linear-chain conditional random field over packed sequences (Lafferty et al. 2001).

The score of a path is the sum of its tags' own scores and of one number for each step from a tag
to the next, for where it starts and for where it ends. Sequences are packed time-major, as for
the LSTMs: the rows alive at step t are the first ``batch_sizes[t]``, and no padding is computed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from relmo._typing import Bool, Float, Integer

__all__ = ["CRF", "best_paths"]


class CRF(nn.Module):
    """Scores of the steps between tags, all 0 at first.

    Args:
        n_tags: different tags.
    """

    def __init__(self, n_tags: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(n_tags, n_tags))  # (from, to)
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    def log_likelihood(
        self,
        scores: Float[Tensor, "N tags"],
        tags: Integer[Tensor, " N"],
        batch_sizes: Sequence[int],
    ) -> Float[Tensor, " rows"]:
        """Return the log-probability of each row's path among all its paths.

        Args:
            scores: of each tag by itself, (N, n_tags), packed.
            tags: the paths, (N,), packed.
            batch_sizes: rows alive at each step, non-increasing, N together, at least one step.

        Returns:
            (rows,), at most 0.
        """
        tag_scores = scores.gather(1, tags[:, None])[:, 0]  # (N,), without the steps between tags
        steps = torch.split(tags, list(batch_sizes))
        total = self.start[steps[0]]
        last = steps[0]
        for before, step, score in zip(
            (None, *steps), steps, torch.split(tag_scores, list(batch_sizes)), strict=False
        ):
            rows = len(step)
            if before is not None:
                score = score + self.transitions[before[:rows], step]
            # Rows that have ended keep their total and their last tag.
            total = torch.cat([total[:rows] + score, total[rows:]])
            last = torch.cat([step, last[rows:]])
        return total + self.end[last] - self.log_normalizer(scores, batch_sizes)

    def log_normalizer(
        self, scores: Float[Tensor, "N tags"], batch_sizes: Sequence[int]
    ) -> Float[Tensor, " rows"]:
        """Return the log of the sum of exp(score) over all paths of each row, (rows,).

        Args: see `log_likelihood`.
        """
        first, *later = torch.split(scores, list(batch_sizes))
        ending = self.start + first  # (rows, tags): all paths up to here that end in a tag
        for score in later:
            rows = len(score)
            # (rows, from, to); the forward algorithm.
            steps = ending[:rows, :, None] + self.transitions
            ending = torch.cat([steps.logsumexp(1) + score, ending[rows:]])
        total: Tensor = (ending + self.end).logsumexp(1)
        return total

    def marginals(
        self, scores: Float[Tensor, "N tags"], batch_sizes: Sequence[int]
    ) -> Float[Tensor, "N tags"]:
        """Return the probability of each tag at each position, over all paths, (N, n_tags), packed.

        They are the derivatives of the normalizer's logarithm, which saves a backward algorithm.
        """
        with torch.inference_mode(False), torch.enable_grad():
            leaf = scores.detach().clone().requires_grad_(True)
            total = self.log_normalizer(leaf, batch_sizes).sum()
            return torch.autograd.grad(total, leaf)[0]

    def best_paths(
        self,
        scores: Float[Tensor, "N tags"],
        batch_sizes: Sequence[int],
        allowed: Bool[Tensor, "tags1 tags1"] | None = None,
    ) -> Integer[Tensor, " N"]:
        """Return the path of the highest score of each row, (N,), packed; see `best_paths`."""
        return best_paths(
            scores, batch_sizes, self.transitions, self.start, self.end, allowed=allowed
        )


@torch.no_grad()
def best_paths(
    scores: Float[Tensor, "N tags"],
    batch_sizes: Sequence[int],
    transitions: Float[Tensor, "tags tags"],
    start: Float[Tensor, " tags"],
    end: Float[Tensor, " tags"],
    *,
    allowed: Bool[Tensor, "tags1 tags1"] | None = None,
) -> Integer[Tensor, " N"]:
    """Return the path of the highest score of each row (Viterbi).

    Args:
        scores: of each tag by itself, (N, n_tags), packed.
        batch_sizes: rows alive at each step, non-increasing, N together, at least one step.
        transitions: of steps from a tag to the next, (n_tags, n_tags).
        start: of the first tag, (n_tags,).
        end: of the last tag, (n_tags,).
        allowed: (n_tags + 1, n_tags + 1), whether a path may step from a tag to the next, one more
            standing for what is outside: its row says how a path may start, its column how it may
            end. None: it may do anything.

    Returns:
        Tags (N,), packed.
    """
    if allowed is not None:
        transitions = transitions.masked_fill(~allowed[:-1, :-1], -torch.inf)
        start = start.masked_fill(~allowed[-1, :-1], -torch.inf)
        end = end.masked_fill(~allowed[:-1, -1], -torch.inf)
    first, *later = torch.split(scores, list(batch_sizes))
    best = start + first  # (rows, tags)
    pointers: list[Tensor] = []
    for score in later:
        rows = len(score)
        highest, origin = (best[:rows, :, None] + transitions).max(1)  # (rows, to)
        pointers.append(origin)
        best = torch.cat([highest + score, best[rows:]])
    last = (best + end).argmax(1)  # (rows,): a row waits here until its last step
    paths = []
    for origin in reversed(pointers):
        rows = len(origin)
        paths.append(last[:rows])
        last = torch.cat([origin.gather(1, last[:rows, None])[:, 0], last[rows:]])
    return torch.cat([last, *reversed(paths)])
