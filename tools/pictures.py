"""Draws the site's icon and the picture that a link to it shows: `python tools/pictures.py`.

A wide network teaches a narrow one. Only names and shapes: no figures that a new record would change.
"""
from pathlib import Path
from matplotlib import pyplot as plt
from links import ROOT, settings

IMAGES = ROOT/'nbs/images'
BLUE, GREY = '#1f77b4', '#7f7f7f'   # student and teacher, as on all pages

def network(ax, layers, x, y, step, size, color):
    "Layers of units with all connections, centered at (x, y)"
    at = [[(x+i*step, y+(j-(n-1)/2)*step*.8) for j in range(n)] for i, n in enumerate(layers)]
    for left, right in zip(at, at[1:]):
        for a in left:
            for b in right: ax.plot(*zip(a, b), color=color, lw=size/9, alpha=.35, zorder=1)
    for layer in at: ax.scatter(*zip(*layer), s=size**2, color=color, zorder=2)

def canvas(width, height):
    fig = plt.figure(figsize=(width/100, height/100), dpi=100, facecolor='white')
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis('off')
    return fig, ax

def icon():
    "64 x 64 pixels: the student"
    fig, ax = canvas(64, 64)
    network(ax, (3, 2), 16, 32, 30, 11, BLUE)
    fig.savefig(IMAGES/'favicon.png')

def card():
    "1200 x 630 pixels: teacher, student, name and sentence"
    fig, ax = canvas(1200, 630)
    network(ax, (5, 6, 6, 5, 2), 190, 420, 70, 15, GREY)
    network(ax, (3, 3, 2), 830, 420, 70, 15, BLUE)
    ax.annotate('', (790, 420), (510, 420), arrowprops=dict(arrowstyle='->', color='black', lw=3))
    ax.text(90, 150, settings()['lib_name'], size=54, weight='bold', va='center')
    ax.text(90, 70, settings()['description'], size=17, va='center', color='#444444')
    fig.savefig(IMAGES/'social.png')

if __name__ == '__main__':
    icon()
    card()
