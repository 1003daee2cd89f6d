"""Which images of a map look like a query: VLAD of RootSIFT (Jegou et al. 2010; Arandjelovic and Zisserman 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_WORDS = 32
_LEARNED_FROM = 40_000


@dataclass(frozen=True)
class Retrieval:
    """Words and one signature for each image.

    Args:
        words: (W, 128) float32 cluster centres.
        signatures: (M, W * 128) float16 of unit length.
    """

    words: np.ndarray
    signatures: np.ndarray

    @staticmethod
    def from_images(rooted: Sequence[np.ndarray]) -> Retrieval:
        """Learn the words and sign every image, given (N, 128) RootSIFT of each."""
        every = np.concatenate(rooted)
        chosen = np.random.default_rng(0).permutation(len(every))[:_LEARNED_FROM]
        cv2.setRNGSeed(0)
        stop = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 20, 1e-4)
        sample = np.ascontiguousarray(every[np.sort(chosen)])
        _, _, words = cv2.kmeans(sample, min(_WORDS, len(sample)), None, stop, 1, cv2.KMEANS_PP_CENTERS)
        return Retrieval(words, np.array([_vlad(words, each) for each in rooted], np.float16))

    def nearest(self, rooted: np.ndarray, count: int) -> np.ndarray:
        """Return indices of the images most like one with these (N, 128) RootSIFT, best first."""
        likeness = self.signatures.astype(np.float32) @ _vlad(self.words, rooted)
        return np.argsort(-likeness, kind="stable")[:count]

    @property
    def size_bytes(self) -> int:
        """What it takes to store."""
        return self.words.nbytes + self.signatures.nbytes


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """Return (N, 128) float32 SIFT whose Euclidean distance is the Hellinger distance of the histograms."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.sqrt(descriptors / total), np.float32)


def _vlad(words: np.ndarray, rooted: np.ndarray) -> np.ndarray:
    """Return the signature: residuals to the nearest word, summed by word, square-rooted and of unit length."""
    signature = np.zeros_like(words)
    if len(rooted):
        nearest = np.argmax(rooted @ words.T - 0.5 * np.sum(words**2, axis=1), axis=1)
        np.add.at(signature, nearest, rooted - words[nearest])
    flat = signature.ravel()
    flat = np.sign(flat) * np.sqrt(np.abs(flat))
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-12), np.float32)
